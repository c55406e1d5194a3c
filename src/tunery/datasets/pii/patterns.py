"""Layer 1: patterns, check digits and context, fast enough to be run on every row."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tunery.datasets.pii import DETECTORS, Finding
from tunery.datasets.pii.folding import fold
from tunery.datasets.pii.internet import find_emails, find_ipv4, find_ipv6_and_macs, find_url_credentials, spells_at
from tunery.datasets.pii.national_ids import FEW_DIGITS, ID_CARD, NATIONAL_IDS
from tunery.datasets.pii.other_numbers import VEHICLE, find_births, find_crypto_addresses
from tunery.datasets.pii.payment import find_cards, find_ibans
from tunery.datasets.pii.phone import find_phones
from tunery.datasets.pii.recognizers import LIKE_A_NUMBER, REPORTED, THOROUGH, any_of

__all__ = ["PatternDetector"]

_WORTH_A_LOOK = re.compile(r"[0-9@]")
_DENSE = re.compile(r"[0-9](?:[^0-9\n]{0,6}+[0-9]){3,200}+")
_NUMBERS = (*NATIONAL_IDS, VEHICLE)
_ANY_NUMBER = any_of(_NUMBERS)
_GROUPS = tuple(
    (any_of(group), group) for group in (_NUMBERS[start : start + 6] for start in range(0, len(_NUMBERS), 6))
)
_SIX_DIGITS, _SEVEN_DIGITS, _TWELVE_DIGITS = (re.compile(rf"(?:[^0-9]*+[0-9]){{{count}}}") for count in (6, 7, 12))
_MARGIN_BEFORE, _MARGIN_AFTER = 12, 40


@DETECTORS.register("patterns")
class PatternDetector:
    """Finds what has a form: addresses, numbers with check digits, and numbers that a word nearby tells.

    Args:
        regions: Countries whose national telephone numbers are looked for, as ISO codes.
        thorough: Whether numbers too count that pass a weak check or have the form alone, with no word that tells: nine
            digits of a kind that a tenth of all nine digits are, for one.
    """

    name = "patterns"
    kinds = tuple(
        sorted(
            {"CARD", "CRYPTO_ADDRESS", "DATE_OF_BIRTH", "EMAIL", "IBAN", "IP_ADDRESS", "MAC_ADDRESS", "PHONE"}
            | {"URL_CREDENTIALS", *(number.kind for number in _NUMBERS)}
        )
    )

    def __init__(
        self, regions: tuple[str, ...] = ("US", "GB", "DE", "FR", "IN", "BR"), *, thorough: bool = False
    ) -> None:
        self.regions = regions
        self.version = "2-thorough" if thorough else "2"
        self._least = THOROUGH if thorough else REPORTED

    def find(self, text: str) -> list[Finding]:
        """Return what is in the text."""
        if text.isascii() and not _WORTH_A_LOOK.search(text) and not spells_at(text):
            return []
        folded = fold(text)
        found = dict.fromkeys(self._find(folded.text))
        if folded.text is text:
            return [*found]
        return [Finding(each.kind, *folded.span(each.start, each.end), each.confidence) for each in found]

    def _find(self, text: str) -> Iterator[Finding]:
        credentials: set[int] = set()
        if "://" in text and "@" in text:
            for found in find_url_credentials(text):
                if "?" not in text[found.start : found.end]:  # else it may be an address among a URL's parameters
                    credentials.add(found.end)
                yield found
        if "@" in text or "%40" in text or spells_at(text):
            yield from find_emails(text, credentials)
        if _WORTH_A_LOOK.search(text) is None:
            return
        if "usweis" in text:  # a few digits among letters are no dense stretch
            yield from ID_CARD.find(text, 0, len(text))
        yield from find_births(text)
        yield from find_crypto_addresses(text)
        yield from find_ipv6_and_macs(text)
        yield from self._find_numbers(text)

    def _find_numbers(self, text: str) -> Iterator[Finding]:
        done = 0
        for dense in _DENSE.finditer(text):
            start, end = max(done, dense.start() - _MARGIN_BEFORE), min(len(text), dense.end() + _MARGIN_AFTER)
            if "." in dense[0]:
                yield from find_ipv4(text, start, end)
            if _SIX_DIGITS.match(text, dense.start(), dense.end()) is None:
                for number in FEW_DIGITS:
                    yield from number.find(text, start, end, self._least)
                continue
            if _SEVEN_DIGITS.match(text, dense.start(), dense.end()):
                yield from find_phones(text, start, end, self.regions)
            if _TWELVE_DIGITS.match(text, dense.start(), dense.end()):
                yield from find_cards(text, start, end)
            yield from find_ibans(text, start, end)
            if LIKE_A_NUMBER.search(text, start, end) and _ANY_NUMBER.search(text, start, end):
                for some, group in _GROUPS:
                    if some.search(text, start, end):
                        for number in group:
                            yield from number.find(text, start, end, self._least)
