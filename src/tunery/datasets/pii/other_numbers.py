"""Addresses of crypto-currencies, vehicles, dates of birth."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tunery.datasets.pii import Finding
from tunery.datasets.pii.checksums import base58check, bech32, eip55
from tunery.datasets.pii.recognizers import Recognizer, in_context

__all__ = ["VEHICLE", "find_births", "find_crypto_addresses"]

_BASE58 = re.compile(r"[13](?<![0-9A-Za-z_].)[1-9A-HJ-NP-Za-km-z]{25,34}(?![0-9A-Za-z_])")
_BECH32 = re.compile(r"(?:bc1|BC1)[02-9ac-hj-np-zAC-HJ-NP-Z]{11,71}(?![0-9A-Za-z_])")
_ETHEREUM = re.compile(r"0x([0-9a-fA-F]{40})(?![0-9A-Za-z_])")
_BITCOIN_VERSIONS = frozenset({0x00, 0x05})

_MONTH = (
    r"(?:jan(?:uary|uar)?|feb(?:ruary|ruar)?|mar(?:ch)?|m[aä]rz|apr(?:il)?|ma[iy]|june?|juni|july?|juli|aug(?:ust)?|"
    r"sep(?:t(?:ember)?)?|o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?)\.?"
)
_DATE = re.compile(
    r"(?<![0-9A-Za-z])(?:"
    r"(?:18|19|20)[0-9]{2}([-/.])[0-9]{1,2}\1[0-9]{1,2}"
    r"|[0-9]{1,2}([-/.])[0-9]{1,2}\2(?:(?:18|19|20)[0-9]{2}|[0-9]{2})"
    r"|[0-9]{1,2}(?:st|nd|rd|th|\.)?(?: of)?[ -]" + _MONTH + r",?[ -](?:18|19|20)[0-9]{2}"
    r"|" + _MONTH + r" [0-9]{1,2}(?:st|nd|rd|th)?,? (?:18|19|20)[0-9]{2}"
    r")(?![0-9A-Za-z])(?![-/.][0-9])",
    re.IGNORECASE,
)
_LIKE_A_DATE = re.compile(r"[0-9](?:(?<=1)[89][0-9]{2}|(?<=2)0[0-9]{2}|[-/.][0-9]{1,2}[-/.][0-9])")
_BIRTH_STEMS = (
    "born", "birth", "dob", "d.o.b", "gebor", "geburt", "geb.", "né le", "née le", "ne le", "nee le", "naissance",
    "nacid", "nacim", "nascita", "nato il", "nata il", "nascimento", "geboorte", "urodz", "родил", "рождения",
    "生年月日", "出生",
)  # fmt: skip
_BIRTH = re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, _BIRTH_STEMS))})")
_NEAR_DATE = 40


def _vin(number: str) -> bool:
    letters = sum(map(str.isalpha, number))
    if not 3 <= letters <= 13:
        return False
    values = [int(c) if c.isdigit() else "12345678.12345.7.923456789"[ord(c) - 65] for c in number]
    weights = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
    left = sum(int(value) * weight for value, weight in zip(values, weights, strict=True)) % 11
    return number[8] == ("X" if left == 10 else str(left))


VEHICLE = Recognizer("VIN", r"[A-HJ-NPR-Z0-9]{17}", _vin, 0.85)
"""Vehicle identification numbers with a check digit. Source: ISO 3779 and 49 CFR 565.15."""


def find_crypto_addresses(text: str) -> Iterator[Finding]:
    """Yield addresses of Bitcoin and Ethereum that pass their checks."""
    for match in _BASE58.finditer(text):
        if base58check(match[0], _BITCOIN_VERSIONS):
            yield Finding("CRYPTO_ADDRESS", match.start(), match.end(), 1.0)
    for match in _BECH32.finditer(text) if "bc1" in text or "BC1" in text else ():
        if bech32(match[0].lower()):
            yield Finding("CRYPTO_ADDRESS", match.start(), match.end(), 1.0)
    for match in _ETHEREUM.finditer(text) if "0x" in text else ():
        if eip55(match[1]):
            yield Finding("CRYPTO_ADDRESS", match.start(), match.end(), 0.8)


def find_births(text: str) -> Iterator[Finding]:
    """Yield dates that stand near a word for birth."""
    if _LIKE_A_DATE.search(text) is None:
        return
    lower = text.lower()
    if len(lower) != len(text) or not any(stem in lower for stem in _BIRTH_STEMS):
        return
    done = 0
    for word in _BIRTH.finditer(lower):
        begin = max(done, word.start() - _NEAR_DATE // 2)
        for date in _DATE.finditer(text, begin, min(len(text), word.end() + _NEAR_DATE + 12)):
            if in_context(_BIRTH, text, date.start(), date.end()):
                yield Finding("DATE_OF_BIRTH", date.start(), date.end(), 0.85)
                done = date.end()
