"""Addresses of people and machines on networks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv6Address

from tunery.datasets.pii import Finding

__all__ = ["find_emails", "find_ipv4", "find_ipv6_and_macs", "find_url_credentials", "spells_at"]

_LOCAL = re.compile(r"[\w.!#$%&'+/=?^`{|}~-]{1,64}")
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}(?:[^\W\d_]{2,24}|xn--[a-z0-9-]{2,50})(?![\w@])")
_SPELLED = re.compile(
    r"[\[(]at[\])] ?((?:[a-z0-9-]{1,63}(?: ?[\[(](?:dot|\.)[\])] ?|\.)){1,6}[a-z]{2,24})\b", re.IGNORECASE
)
_SPELLED_LOCAL = re.compile(r" ?[\w.+-]{1,64}")
_CREDENTIALS = re.compile(r"[^\s/@:?#\"'<>\[\]]{0,128}:[^\s/@\"'<>]{1,256}(?=@[^\s/@])")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(r"[0-9]{1,3}\.(?:[0-9]{1,3}\.){2}[0-9]{1,3}(?![0-9A-Za-z_])(?!\.[0-9])")
_IPV4_VALID = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_PAIRS = re.compile(r"[:-][0-9A-Fa-f]{0,4}[:-][0-9A-Fa-f:]")
_RUN = re.compile(r"[0-9A-Fa-f:.-]{1,48}")
_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}")


def spells_at(text: str) -> bool:
    """Tell whether the text may hold an address with its @ written out."""
    return "(at" in text or "[at" in text or "(AT" in text or "[AT" in text


def find_emails(text: str) -> Iterator[Finding]:
    """Yield e-mail addresses, in letters of every script, and spelled ones such as ``ann (at) example (dot) org``."""
    at = text.find("@")
    while at >= 0:
        local = _LOCAL.match(text[max(0, at - 64) : at][::-1])
        if local is not None and (domain := _DOMAIN.match(text, at + 1)) is not None:
            name = local[0][::-1].lstrip(".'/=?&`{|}!#$%^~-")
            if name and not name.endswith("."):
                yield Finding("EMAIL", at - len(name), domain.end(), 0.95)
        at = text.find("@", at + 1)
    if spells_at(text):
        for match in _SPELLED.finditer(text):
            local = _SPELLED_LOCAL.match(text[max(0, match.start() - 65) : match.start()][::-1])
            if local is not None:
                yield Finding("EMAIL", match.start() - len(local[0]), match.end(), 0.8)


def find_url_credentials(text: str) -> Iterator[Finding]:
    """Yield ``user:password`` of URLs that carry them. Source: RFC 3986, 3.2.1."""
    place = text.find("://")
    while place >= 0:
        if (match := _CREDENTIALS.match(text, place + 3)) is not None:
            yield Finding("URL_CREDENTIALS", match.start(), match.end(), 1.0)
        place = text.find("://", place + 3)


def find_ipv4(text: str, start: int, end: int) -> Iterator[Finding]:
    """Yield IPv4 addresses; a number of four parts that follows a letter or another number is a version."""
    for match in _IPV4.finditer(text, start, end):
        before = text[max(0, match.start() - 9) : match.start()]
        if not before[-1:].isalnum() and before[-1:] not in ("_", ".", "-") and "ersion" not in before:  # noqa: SIM102
            if _IPV4_VALID.fullmatch(match[0]):
                yield Finding("IP_ADDRESS", match.start(), match.end(), 0.9)


def find_ipv6_and_macs(text: str) -> Iterator[Finding]:
    """Yield IPv6 addresses (RFC 4291) and hardware addresses of six bytes."""
    done = 0
    for match in _PAIRS.finditer(text):
        if match.start() < done:
            continue
        before = _RUN.match(text[max(0, match.start() - 8) : match.start()][::-1])
        begin = match.start() - (len(before[0]) if before else 0)
        if text[max(0, begin - 1) : begin].isalnum() or (run := _RUN.match(text, begin)) is None:
            continue
        done = run.end()
        stretch = run[0].rstrip(".-")
        follows = text[begin + len(stretch) : begin + len(stretch) + 1]
        if follows.isalnum() or follows == "_":
            continue
        if _MAC.fullmatch(stretch):
            yield Finding("MAC_ADDRESS", begin, begin + len(stretch), 0.95)
        elif _is_ipv6(stretch := stretch if stretch.endswith("::") else stretch.rstrip(":")):
            yield Finding("IP_ADDRESS", begin, begin + len(stretch), 0.9)


def _is_ipv6(text: str) -> bool:
    if text.count(":") < 2 or not re.search(r"[0-9A-Fa-f]{3}", text):
        return False
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True
