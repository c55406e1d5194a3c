"""Telephone numbers: a cheap form first, ``phonenumbers`` for what has it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from tunery.datasets.pii import Finding
from tunery.datasets.pii.recognizers import REPORTED, as_words, in_context

__all__ = ["e164", "find_phones"]

_CANDIDATE = re.compile(
    r"(?<![0-9A-Za-z_+])(?<![0-9][-./:])(?:(?:\+|00|011[ -]?)\(?[1-9]|\(?[0-9])"
    r"(?:(?:[ .\-/)]|\) |\)-| \(| - | / )?[0-9]){6,14}"
    r"(?:,? ?(?:x|ext\.?|extension) ?[0-9]{1,6})?(?![0-9A-Za-z_])(?![-./][0-9])",
    re.IGNORECASE,
)
_EXTENSION = re.compile(r",? ?(?:x|ext\.?|extension) ?[0-9]{1,6}$", re.IGNORECASE)
_NOT_PHONE = re.compile(
    r"(?:19|20)[0-9]{2}([-/.])[0-9]{1,2}\1[0-9]{1,2}(?![0-9])|[0-9]{1,2}([-/.])[0-9]{1,2}\2(?:19|20)[0-9]{2}"
    r"|[0-9]{1,3}(?:\.[0-9]{1,3}){3}$|[0-9]{3,4}\.[0-9]{4,}$|0\.[0-9]+"
)
_LIKE_A_CARD = re.compile(r"[1-9][0-9]{0,3}(?:[ -]{1,3}[0-9]{4}){1,3}")
_NORTH_AMERICAN = re.compile(r"(?:1[ .-]?)?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}([ .-]))[0-9]{3}[ .-][0-9]{4}")
_GROUPED = re.compile(r"\(?0[0-9]{1,5}\)?[ /.-][0-9 ./-]{5,14}")
_CONTEXT = as_words(
    "phone|telephone|tel|mobile|cell|cellphone|fax|call(?:ed|ing)?|contact|reach|whatsapp|sms|text me|dial|"
    r"ring|desk|office|landline|hotline|telefon\w*|handy|rufnummer|mobil|t[ée]l[ée]phone|portable|tel[ée]fono|m[óo]vil|"
    "telefone|celular|cellulare|telefoon|телефон|电话|手机|電話|전화"
)


def find_phones(text: str, start: int, end: int, regions: tuple[str, ...]) -> Iterator[Finding]:
    """Yield telephone numbers: international ones, those in a usual form, and others that a word such as "call" tells.

    Args:
        regions: Countries whose national numbers are looked for, as ISO codes.
    """
    for match in _CANDIDATE.finditer(text, start, end):
        number = _EXTENSION.sub("", match[0])
        first = match.start()
        if number.startswith("(") and ")" not in number:
            first, number = first + 1, number[1:]
        international = number.startswith(("+", "00", "011"))
        if not international and _NOT_PHONE.match(number):
            continue
        told = in_context(_CONTEXT, text, match.start(), match.end())
        confidence = 0.9 if international and e164(number, regions) else _confidence(number, regions, told)
        if confidence >= REPORTED:
            yield Finding("PHONE", first, match.end(), min(confidence, 0.9))


def _confidence(number: str, regions: tuple[str, ...], told: bool) -> float:
    """Return how sure a number is one, given whether a word nearby tells it."""
    more = 0.4 if told else 0.0
    if _NORTH_AMERICAN.fullmatch(number):
        return 0.7 + more
    if _LIKE_A_CARD.fullmatch(number):
        return 0.1 + more
    if number[0] == "+":
        return 0.6 + more
    if _GROUPED.fullmatch(number):
        return (0.6 if e164(number, regions) else 0.3) + more
    if not told:
        return 0.0  # too little to be reported in any case, and it takes long to tell how little
    return (0.45 if e164(number, regions) else 0.2) + more


@lru_cache(8192)
def e164(number: str, regions: tuple[str, ...]) -> str | None:
    """Return the number as ``+`` and digits if it is one that a country gives out. Source: ITU-T E.164."""
    import phonenumbers

    text = "+" + number[2:] if number.startswith("00") else "+" + number[3:] if number.startswith("011") else number
    for region in (None,) if text.startswith("+") else regions:
        try:
            parsed = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(parsed):
            return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))
    return None
