"""Where the server is: the URL that was set, the data folder's running server, or one started here for our lifetime."""

from __future__ import annotations

import ipaddress
import json
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tunery.errors import Conflict, InvalidInput, Unauthenticated, Unavailable
from tunery.settings import Settings

__all__ = ["Address", "find_server", "is_loopback", "open_address"]

SERVER_FILE = "server.json"
OWNER_TOKEN = "owner.token"
_PATIENCE_SECONDS = 15.0


@dataclass(frozen=True)
class Address:
    """A server's address.

    Attributes:
        url: Base of its URLs; of a socket only the host name counts.
        socket: The Unix socket to connect to, or None for the URL itself.
        own: Whether this process runs the server.
    """

    url: str
    socket: Path | None = None
    own: bool = False

    def __str__(self) -> str:
        return str(self.socket) if self.socket else self.url

    @property
    def shown(self) -> str:
        """The URL under which others reach it; empty where it has none."""
        return "" if self.socket else self.url

    def open(self, token: str | None) -> httpx.Client:
        """Return an HTTP client for this address. Proxies of the environment are not asked for this machine's own."""
        near = self.socket is not None or is_loopback(self.url)
        return httpx.Client(
            base_url=self.url,
            transport=httpx.HTTPTransport(uds=str(self.socket)) if self.socket else None,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(60, connect=5),
            trust_env=not near,
        )


def open_address(settings: Settings, closing: ExitStack) -> tuple[Address, str]:
    """Find or start the server, and return its address and the token for it.

    Args:
        settings: With ``url`` set that server is meant; else this machine's, of the home folder.
        closing: Gets what must be closed at the end.

    Raises:
        Unauthenticated: A server elsewhere is named, but no token for it.
    """
    if settings.url:
        return Address(_checked_url(settings.url)), _token(settings)
    address = find_server(settings) or _start(settings, closing)
    return address, _token(settings)


def find_server(settings: Settings) -> Address | None:
    """Return the address of the home folder's running server, or None."""
    try:
        entry = json.loads((settings.home / SERVER_FILE).read_text(encoding="utf-8"))
        pid = int(entry["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # alive, but another user's
    # The socket comes first: unlike a port it cannot have gone to another user's process since.
    if entry.get("socket"):
        address = Address("http://localhost", Path(entry["socket"]))
    elif entry.get("url"):
        address = Address(entry["url"])
    else:
        return None
    return address if _answers(address) else None


def is_loopback(url: str) -> bool:
    """Tell whether a URL names this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _start(settings: Settings, closing: ExitStack) -> Address:
    from tunery.app import LocalServer

    _log_to_file(settings)
    patient_until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            server = closing.enter_context(LocalServer(settings))
        except Conflict:
            # Another process of this home is starting its server at this moment: ask it instead.
            found = find_server(settings)
            if found is not None:
                return found
            if time.monotonic() > patient_until:
                raise
            time.sleep(0.2)
        else:
            return Address("http://localhost", Path(server.socket_path), own=True)


def _log_to_file(settings: Settings) -> None:
    """Keep the log of a server that runs inside somebody's program out of that program's output."""
    import structlog

    from tunery.platform.telemetry import configure_logging

    if not structlog.is_configured():
        path = settings.folder("logs") / "local.log"
        configure_logging(settings, path.open("a", encoding="utf-8", buffering=1))


def _answers(address: Address) -> bool:
    try:
        with address.open(None) as http:
            return http.get("/readyz", timeout=3).status_code < 500
    except httpx.HTTPError:
        return False


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(f"{url!r} is no server address: write it like https://tunery.example.com (TUNERY_URL)")
    return url.rstrip("/")


def _token(settings: Settings) -> str:
    """Return the token; the owner's own is never sent to another machine."""
    if settings.token:
        return settings.token
    if settings.url and not is_loopback(settings.url):
        raise Unauthenticated(f"{settings.url} needs a token of its own: set TUNERY_TOKEN to one that was made there")
    path = settings.home / OWNER_TOKEN
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError as missing:
        raise Unauthenticated(
            f"there is no token at {path}; set TUNERY_TOKEN, or TUNERY_HOME to the right folder"
        ) from (missing)
    except OSError as error:
        raise Unavailable(f"the token at {path} cannot be read: {error.strerror}") from error
