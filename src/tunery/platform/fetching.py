"""Fetch a file from an address that somebody named, without being led to where only this machine may go.

The name is resolved once, every address it has must be public, and the connection goes to an address that was looked
at: a name that changes its mind in between (DNS rebinding) changes nothing. Each redirect is looked at like the first
address. Nothing is unpacked, proxies are not asked, and size, time and slowness have limits.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from tunery import __version__
from tunery.errors import (
    Cancelled,
    FormatInvalid,
    NotFound,
    Refused,
    SourceLimit,
    TuneryError,
    Unavailable,
    UrlNotAllowed,
)

if TYPE_CHECKING:
    import httpcore

__all__ = ["FetchLimits", "Fetched", "check_url", "fetch_file", "is_public"]

_MAX_URL = 2000
_MAX_REDIRECTS = 5
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,250}[A-Za-z0-9_.])?|[0-9A-Fa-f:.]+")
_EMBEDDED = tuple(ipaddress.ip_network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96"))
"""Networks whose last four bytes are an IPv4 address. Source: RFC 6052, RFC 8215, RFC 4291 section 2.5.5.1."""

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class FetchLimits:
    """What a fetch may take.

    Attributes:
        max_bytes: Bytes of the file.
        seconds: Seconds for all of it, redirects included.
        silent_seconds: Seconds without any byte.
        least_rate: Bytes a second on average, counted from ``silent_seconds`` on.
    """

    max_bytes: int
    seconds: float = 4 * 3600.0
    silent_seconds: float = 30.0
    least_rate: float = 1000.0


@dataclass(frozen=True)
class Fetched:
    """A fetched file.

    Attributes:
        url: The address that gave it, after redirects.
        file_name: Last part of the address that was asked for.
        size_bytes: Its size.
        media_type: What the server says it is, or nothing.
    """

    url: str
    file_name: str
    size_bytes: int
    media_type: str


def check_url(url: str) -> SplitResult:
    """Return the parts of an address that may be fetched, as far as its text tells. Raises: UrlNotAllowed."""
    if len(url) > _MAX_URL or not url.isascii() or not url.isprintable() or set(url) & set(' \\"<>^`{|}'):
        raise UrlNotAllowed(f"an address has at most {_MAX_URL} plain ASCII characters; write others as %XX")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UrlNotAllowed(f"{url[:100]!r} is no address: {error}") from error
    if parts.scheme not in ("http", "https"):
        raise UrlNotAllowed(f"data is fetched over https or http, not {parts.scheme[:20] or 'nothing'!r}")
    if "@" in parts.netloc:
        raise UrlNotAllowed("an address may not hold a user or a password: it would be kept with the data")
    if not _HOST.fullmatch(host) or port == 0:
        raise UrlNotAllowed(f"{parts.netloc[:100]!r} names no host")
    return parts


def is_public(address: str) -> bool:
    """Tell whether an IP address belongs to the public internet, also one that is written inside another."""
    ip: IPAddress = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        inner += [ipaddress.IPv4Address(ip.packed[-4:])] if any(ip in net for net in _EMBEDDED) else []
        if any(v4 is not None and not is_public(str(v4)) for v4 in inner):
            return False
        if ip.ipv4_mapped is not None or ip in _EMBEDDED[0]:
            return True  # its IPv4 address is public
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def fetch_file(
    url: str,
    path: Path,
    limits: FetchLimits,
    *,
    private_hosts: Collection[str] = (),
    on_bytes: Callable[[int, int | None], None] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Fetched:
    """Fetch a file to a new path; after any failure there is none.

    Args:
        url: Its address.
        path: Where it goes.
        limits: What it may take.
        private_hosts: Names of hosts that may have addresses that are not public.
        on_bytes: Told the bytes done and, where the server says so, all of them.
        cancelled: Asked at every piece.

    Raises:
        UrlNotAllowed: The address, or one it leads to, is no public web address. SourceLimit: too large, too long, too
            slow. NotFound, Refused, Unavailable: the server does not give it. FormatInvalid: it gives a web page, or
            packed bytes. Cancelled.
    """
    clock = _Clock(limits)
    with path.open("xb") as file:
        try:
            return _follow(url, file, _Fetch(limits, clock, frozenset(private_hosts), on_bytes, cancelled))
        except BaseException:
            path.unlink(missing_ok=True)
            raise


@dataclass(frozen=True)
class _Fetch:
    limits: FetchLimits
    clock: _Clock
    private_hosts: frozenset[str]
    on_bytes: Callable[[int, int | None], None]
    cancelled: Callable[[], bool]


class _Clock:
    """Time and speed of one fetch."""

    def __init__(self, limits: FetchLimits) -> None:
        self._limits = limits
        self._began = time.monotonic()
        self._bytes = 0

    def left(self, wanted: float | None) -> float:
        """Return the seconds the next step may take. Raises: SourceLimit: none are left."""
        passed = time.monotonic() - self._began
        if passed >= self._limits.seconds:
            raise SourceLimit(f"the source took longer than {self._limits.seconds:g} seconds; nothing was kept")
        return min(self._limits.silent_seconds, self._limits.seconds - passed, wanted or self._limits.seconds)

    def count(self, size: int) -> None:
        """Count bytes that came. Raises: SourceLimit: they come too slowly."""
        self._bytes += size
        passed = time.monotonic() - self._began
        if passed > self._limits.silent_seconds and self._bytes < passed * self._limits.least_rate:
            raise SourceLimit(
                f"the source sends less than {self._limits.least_rate:g} bytes a second; nothing was kept"
            )


def _follow(url: str, file: IO[bytes], fetch: _Fetch) -> Fetched:
    import httpcore

    asked = check_url(url)
    with httpcore.ConnectionPool(network_backend=_backend(fetch), retries=0) as pool:
        for _ in range(_MAX_REDIRECTS + 1):
            parts = check_url(url)
            if asked.scheme == "https" and parts.scheme != "https":
                raise UrlNotAllowed("the address leads from https to http, where anybody may change the data")
            try:
                found = _ask(pool, url, file, fetch)
            except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
                fetch.clock.left(None)
                raise Unavailable(f"{parts.hostname} does not answer as it should ({type(error).__name__})") from error
            if isinstance(found, Fetched):
                name = unquote(asked.path).replace("\\", "/").rsplit("/", 1)[-1]
                return Fetched(found.url, name[-250:], found.size_bytes, found.media_type)
            url = _joined(url, found)
    raise UrlNotAllowed(f"the address leads on more than {_MAX_REDIRECTS} times")


def _joined(url: str, found: str) -> str:
    try:
        return urljoin(url, found)
    except ValueError as error:
        raise UrlNotAllowed("the address leads to what is no address") from error


def _ask(pool: httpcore.ConnectionPool, url: str, file: IO[bytes], fetch: _Fetch) -> Fetched | str:
    """Ask one address; return the file, or where it says to ask."""
    headers = [("User-Agent", f"tunery/{__version__}"), ("Accept", "*/*"), ("Accept-Encoding", "identity")]
    with pool.stream("GET", url.partition("#")[0], headers=headers) as response:
        said = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        if response.status in (301, 302, 303, 307, 308) and "location" in said:
            return said["location"]
        media_type = said.get("content-type", "").partition(";")[0].strip().lower()
        if fault := _fault(url, response.status, media_type, said.get("content-encoding", "identity").lower()):
            raise fault
        length = said.get("content-length", "")
        total = int(length) if length.isdecimal() else None
        done = 0
        _check_size(total or 0, fetch.limits)
        for piece in response.iter_stream():
            if fetch.cancelled():
                raise Cancelled
            done += len(piece)
            _check_size(done, fetch.limits)
            file.write(piece)
            fetch.on_bytes(done, total)
        return Fetched(url, "", done, media_type)


def _check_size(size: int, limits: FetchLimits) -> None:
    if size > limits.max_bytes:
        raise SourceLimit(f"the source is larger than {limits.max_bytes} bytes; nothing was kept")


def _fault(url: str, status: int, media_type: str, encoding: str) -> TuneryError | None:
    shown = url[:200]
    if status in (404, 410):
        return NotFound(f"{shown} is not there (HTTP {status})")
    if status in (401, 403, 407):
        return Refused(f"{shown} is not open to all (HTTP {status}); download the file yourself and upload it")
    if status != 200:
        return Unavailable(f"{shown} answered HTTP {status}; try again later")
    if media_type in ("text/html", "application/xhtml+xml"):
        return FormatInvalid(f"{shown} answers a web page, not a data file; name the address of the file itself")
    if encoding not in ("", "identity"):
        return FormatInvalid(f"{shown} answers packed bytes ({encoding[:20]}) though asked for plain ones")
    return None


def _addresses(host: str, port: int, private_hosts: Collection[str]) -> list[str]:
    """Return a host's addresses; all of them are public, or the host is one of ours."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"no address is known for the host {host[:100]!r}") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if host not in private_hosts and not all(map(is_public, addresses)):
        raise UrlNotAllowed(
            f"the host {host[:100]!r} has an address that is not public; an operator may allow it by name "
            "(TUNERY_SOURCE_HOSTS)"
        )
    return addresses


def _backend(fetch: _Fetch) -> httpcore.NetworkBackend:
    import httpcore

    inner = httpcore.SyncBackend()

    class Watched(httpcore.NetworkStream):
        """A connection whose every step is measured."""

        def __init__(self, stream: httpcore.NetworkStream) -> None:
            self._stream = stream

        def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            data = self._stream.read(max_bytes, fetch.clock.left(timeout))
            fetch.clock.count(len(data))
            return data

        def write(self, buffer: bytes, timeout: float | None = None) -> None:
            self._stream.write(buffer, fetch.clock.left(timeout))

        def close(self) -> None:
            self._stream.close()

        def start_tls(
            self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
        ) -> httpcore.NetworkStream:
            return Watched(self._stream.start_tls(ssl_context, server_hostname, fetch.clock.left(timeout)))

        def get_extra_info(self, info: str) -> Any:
            return self._stream.get_extra_info(info)

    class Guarded(httpcore.NetworkBackend):
        """Connects to addresses that were looked at, never to a name."""

        def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,
            local_address: str | None = None,
            socket_options: Iterable[Any] | None = None,
        ) -> httpcore.NetworkStream:
            addresses = _addresses(host, port, fetch.private_hosts)
            for address in addresses[:-1]:
                with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                    return Watched(inner.connect_tcp(address, port, fetch.clock.left(timeout)))
            return Watched(inner.connect_tcp(addresses[-1], port, fetch.clock.left(timeout)))

    return Guarded()
