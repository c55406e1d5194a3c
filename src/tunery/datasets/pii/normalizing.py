"""One spelling for each identifier, however it is written: for pseudonyms, and for finding a person's rows again."""

from __future__ import annotations

import re
import unicodedata
from ipaddress import ip_address

from tunery.datasets.pii.folding import fold
from tunery.datasets.pii.phone import e164

__all__ = ["NORMALIZER_VERSION", "normalize"]

NORMALIZER_VERSION = "1"
"""Changed whenever an identifier gets another spelling; kept beside every hash of one."""

_AT = re.compile(r" ?[\[(]at[\])] ?", re.IGNORECASE)
_DOT = re.compile(r" ?[\[(](?:dot|\.)[\])] ?", re.IGNORECASE)
_EXTENSION = re.compile(r"[ ,]*(?:x|ext\.?|extension) ?[0-9]+$", re.IGNORECASE)
_BY_LETTER = frozenset({"URL_CREDENTIALS", "PASSWORD", "API_KEY", "JWT", "PRIVATE_KEY", "HIGH_ENTROPY"})


def normalize(kind: str, text: str, regions: tuple[str, ...] = ("US",)) -> str:
    """Return the canonical spelling of an identifier.

    E-mail addresses are case-folded, telephone numbers are E.164 (national ones by the first of the regions that gives
    them out; without one, their digits), IP addresses as RFC 5952 has them, names case-folded, secrets to the letter,
    all others letters and digits in upper case.
    """
    if kind in _BY_LETTER:
        return text
    plain = unicodedata.normalize("NFKC", fold(text).text).strip()
    match kind:
        case "EMAIL":
            spelled = "(" in plain or "[" in plain
            plain = _DOT.sub(".", _AT.sub("@", plain)) if spelled else plain
            return (plain if "@" in plain else plain.replace("%40", "@")).replace(" ", "").casefold()
        case "PHONE":
            return _phone(plain, regions)
        case "IP_ADDRESS":
            return _ip(plain)
        case "PERSON" | "LOCATION":
            return " ".join(plain.casefold().split())
        case "CRYPTO_ADDRESS":
            return plain.lower() if plain[:3].lower() in ("bc1", "0x" + plain[2:3].lower()) else plain
    return "".join(filter(str.isalnum, plain)).upper() or plain


def _phone(text: str, regions: tuple[str, ...]) -> str:
    number = _EXTENSION.sub("", text)
    return e164(number.replace("(0)", ""), regions) or "".join(filter(str.isdigit, number))


def _ip(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        return text.lower()
