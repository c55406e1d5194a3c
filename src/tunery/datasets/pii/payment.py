"""Cards and bank accounts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tunery.datasets.pii import Finding
from tunery.datasets.pii.checksums import luhn, mod97
from tunery.datasets.pii.recognizers import as_words, compact, in_context

__all__ = ["IBAN_LENGTHS", "card_lengths", "find_cards", "find_ibans"]

_CARD = re.compile(r"[0-9](?<![0-9A-Za-z_].)(?<![0-9][-.].)(?:[ -]?[0-9]){11,18}(?![0-9A-Za-z_])")
_CONTEXT = as_words("card|visa|maestro|credit|debit|karte|carte|tarjeta")
"""Short numbers and those of unknown issuers are taken for cards only near one of these."""

_ISSUERS: tuple[tuple[int, int, tuple[int, ...]], ...] = (
    (2221_00, 2720_99, (16,)),  # Mastercard
    (3000_00, 3059_99, (14, 16)),  # Diners Club
    (3400_00, 3499_99, (15,)),  # American Express
    (3528_00, 3589_99, (16,)),  # JCB
    (3600_00, 3699_99, (14,)),  # Diners Club
    (3700_00, 3799_99, (15,)),  # American Express
    (3800_00, 3999_99, (14, 16)),  # Diners Club
    (4000_00, 4999_99, (13, 16, 19)),  # Visa
    (5000_00, 5099_99, (12, 13, 14, 15, 16, 17, 18, 19)),  # Maestro
    (5100_00, 5599_99, (16,)),  # Mastercard
    (5600_00, 5899_99, (12, 13, 14, 15, 16, 17, 18, 19)),  # Maestro
    (6000_00, 6999_99, (16, 17, 18, 19)),  # Discover, UnionPay, RuPay, Maestro
)

# ISO 13616, IBAN registry
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20,
    "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19,
    "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29,
    "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24,
    "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
    "YE": 30,
}  # fmt: skip
_IBAN_CHECK = re.compile(r"[0-9]{2}(?<=[A-Za-z]{2}..)(?<![0-9A-Za-z_]....)")
_IBAN_REST = {length: re.compile(rf"(?:[ -]?[0-9A-Za-z]){{{length - 4}}}(?![0-9A-Za-z])") for length in range(15, 34)}


def card_lengths(number: str) -> tuple[int, ...]:
    """Return how many digits a card number may have that begins like this. Source: ISO/IEC 7812 issuer ranges."""
    issuer = int(number[:6])
    return next((lengths for first, last, lengths in _ISSUERS if first <= issuer <= last), ())


def find_cards(text: str, start: int, end: int) -> Iterator[Finding]:
    """Yield card numbers that keep the issuer's length and Luhn's check digit, or the latter near a word that tells."""
    for match in _CARD.finditer(text, start, end):
        number = compact(match[0])
        known = card_lengths(number)
        for length in sorted({*known, len(number)}, reverse=True):
            if length > len(number) or not luhn(number[:length]) or len(set(number[:length])) < 2:
                continue
            last = _place_of_digit(match[0], length)
            if not match[0][last + 1 : last + 2].isdigit():
                finish = match.start() + last + 1
                if (length in known and length > 13) or in_context(_CONTEXT, text, match.start(), finish):
                    yield Finding("CARD", match.start(), finish, 0.9)
                break


def find_ibans(text: str, start: int, end: int) -> Iterator[Finding]:
    """Yield account numbers of a country's length whose check digits are right. Source: ISO 13616."""
    for check in _IBAN_CHECK.finditer(text, start, end):  # digits are rarer than letters
        first = check.start() - 2
        length = IBAN_LENGTHS.get(text[first : check.start()].upper())
        if length is None or (rest := _IBAN_REST[length].match(text, check.end())) is None:
            continue
        number = compact(text[first : rest.end()])
        if mod97(number[4:] + number[:4]):
            yield Finding("IBAN", first, rest.end(), 1.0)


def _place_of_digit(text: str, count: int) -> int:
    for place, character in enumerate(text):
        count -= character.isdigit()
        if count == 0:
            return place
    return len(text) - 1
