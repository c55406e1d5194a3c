"""Addresses of people and machines on networks."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from ipaddress import AddressValueError, IPv6Address

from tunery.datasets.pii import Finding

__all__ = ["email_readings", "find_emails", "find_ipv4", "find_ipv6_and_macs", "find_url_credentials", "spells_at"]

_LOCAL = re.compile(r"[\w.!#$%&'+/=?^`{|}~-]{1,64}")
_BEFORE_LOCAL = ".'/=?&`{|}!#$%^~-"
_ODD = re.compile(r"[^0-9A-Za-z.+-]")
_CLUTTER = re.compile(
    r"(?:.*[|/?&])?(?:(?:(?<=[?&])[\w.-]*|\w*(?:mail|user|login|name|contact|recipient|sender|address|to|from|cc))=)?",
    re.IGNORECASE,
)
"""What stands before an address without a space: a path, the name of a parameter, the cell before it."""

_UNSPACED = re.compile(
    r".*[\u0e00-\u109f\u1780-\u17ff\u2e80-\ud7ff\uf900-\ufaff\uff66-\uffdc\U00020000-\U0003ffff](?=[!-~])"
)
"""A sentence in a script that needs no spaces."""

_LATIN = "A-Za-z\u00c0-\u024f\u1e00-\u1eff"
_BEFORE_DIGITS = (
    "com|org|net|edu|gov|info|biz|io|co|uk|de|at|ch|fr|it|es|nl|be|se|no|dk|fi|pl|cz|pt|gr|ie|eu|us|ca|mx|br|ar|au|nz|"
    "in|jp|kr|cn|tw|hk|sg|ru|ua|tr|il|za"
)
"""Others count with no digit behind them alone: ``tool@4.2-rc1`` is a version."""

_DOMAIN = re.compile(
    rf"(?:[^\W_](?:[\w-]{{0,61}}[^\W_])?\.){{1,8}}(?:[{_LATIN}]{{2,24}}(?![{_LATIN}0-9]|--)|xn--[a-z0-9-]{{2,50}}(?!\w)|"
    rf"(?i:{_BEFORE_DIGITS})(?=[0-9])|[^\W\d_]{{2,24}}(?!\w))(?!@)"
)
_SPLITS = re.compile(rf"[|/=?&]|%[0-9A-Fa-f]{{2}}|(?<=[^\W\d_{_LATIN}])(?=[{_LATIN}0-9])|^_+")
_MOST_SPLITS = 4
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


def find_emails(text: str, passwords: Container[int] = ()) -> Iterator[Finding]:
    """Yield e-mail addresses, in letters of every script, and spelled ones such as ``ann (at) example (dot) org``.

    Args:
        passwords: Where passwords of URLs end; such an @ is of no address.
    """
    for sign in ("@", "%40") if "%40" in text else ("@",):
        at = text.find(sign)
        while at >= 0:
            name = _whole_local(text, at)
            if name and at not in passwords and (domain := _DOMAIN.match(text, at + len(sign))) is not None:
                yield Finding("EMAIL", at - len(_bare(name, domain[0])), domain.end(), 0.95)
            at = text.find(sign, at + 1)
    if spells_at(text):
        for match in _SPELLED.finditer(text):
            local = _SPELLED_LOCAL.match(text[max(0, match.start() - 65) : match.start()][::-1])
            if local is not None:
                yield Finding("EMAIL", match.start() - len(local[0]), match.end(), 0.8)


def email_readings(text: str, start: int, end: int) -> list[str]:
    """Return what else the address may be that was found here: some letters before it may be of it, others may not."""
    sign = "@" if "@" in text[start:end] else "%40"
    at = text.find(sign, start, end)
    if at < 0:
        return []
    name, domain = _whole_local(text, at), text[at:end]
    if text[: at - len(name)].endswith("%"):  # it begins with an escape
        name = f"%{name}"
    splits = [match.end() for match in _SPLITS.finditer(name)][-_MOST_SPLITS:]
    ends = [domain]
    if "_" in domain and (shorter := _DOMAIN.match(domain.partition("_")[0], len(sign))) is not None:
        ends.append(sign + shorter[0])
    found = {name[split:].lstrip(_BEFORE_LOCAL) + each for split in (0, *splits) for each in ends}
    found |= {text[start:at] + each for each in ends}
    found |= {each.replace("%2B", "+").replace("%2b", "+") for each in found}
    return sorted(found - {text[start:end], *ends})


def _whole_local(text: str, at: int) -> str:
    """Return all that may stand before the @ of an address; empty: nothing does."""
    local = _LOCAL.match(text[max(0, at - 64) : at][::-1])
    name = local[0][::-1].lstrip(_BEFORE_LOCAL) if local else ""
    return "" if name.endswith(".") else name


def _bare(name: str, domain: str) -> str:
    """Return a local part without what only stands before it, such as ``?email=`` or a sentence in Chinese."""
    if _ODD.search(name) is None:
        return name
    bare = name
    for clutter in (_CLUTTER, _UNSPACED) if domain[0].isascii() else (_CLUTTER,):
        if (match := clutter.match(bare)) is not None:
            bare = bare[match.end() :]
    return bare.lstrip(_BEFORE_LOCAL + "_") or name


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
