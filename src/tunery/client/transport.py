"""The one way from the SDK to a server: envelope and problems, bounded retries, idempotency keys, streams."""

from __future__ import annotations

import json
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import quote

import httpx

from tunery.client.address import Address, open_address
from tunery.errors import (
    Forbidden,
    MalformedRequest,
    NotFound,
    TuneryError,
    Unauthenticated,
    Unavailable,
    error_from_problem,
)
from tunery.kit.ids import new_id
from tunery.kit.lines import lines_of
from tunery.settings import Settings

__all__ = ["Transport", "events_of", "path_of"]

_ATTEMPTS = 5
_LONGEST_PAUSE = 10.0
_PIECE_BYTES = 1 << 20
_BROKEN = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ConnectTimeout)
_BY_STATUS: dict[int, type[TuneryError]] = {401: Unauthenticated, 403: Forbidden, 404: NotFound}


class Body(Protocol):
    """Bytes to send, of a length that is known: a file that can be read and closed."""

    size_bytes: int

    def read(self, size: int = -1, /) -> bytes: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


def path_of(*segments: str) -> str:
    """Join path segments below ``/api/v1``; each is quoted, so that no name can name another address."""
    return "/api/v1/" + "/".join(quote(segment, safe="") for segment in segments)


class Transport:
    """Speaks to one server. It is found, or started, at the first call; ``close`` ends what was started here."""

    first_pause_seconds = 0.25
    silence_seconds = 60.0
    """Longest silence of a server while it sends what it has."""
    work_seconds = 3600.0
    """Longest silence while it carries out a deed: it may read, hash or convert gigabytes before it answers."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._closing = ExitStack()
        self._opening = threading.Lock()
        self._http: httpx.Client | None = None
        self._address: Address | None = None
        # A client that nobody closed must not keep its server, and with it the process, alive.
        self.close = weakref.finalize(self, self._closing.close)

    @property
    def address(self) -> Address:
        """Where the server is."""
        self._open()
        assert self._address is not None
        return self._address

    @property
    def reached(self) -> Address | None:
        """Where the server is that was spoken to; None before the first call. Asking starts none."""
        return self._address

    def call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: Any = None,
        upload: Callable[[], Body] | None = None,
        headers: dict[str, str] | None = None,
        keyed: bool = True,
    ) -> tuple[Any, dict[str, Any] | None]:
        """Call an operation and return the envelope's ``data`` and ``meta``.

        Args:
            method: HTTP method.
            path: From the root; see ``path_of``.
            query: Query parameters; None values are left out.
            body: JSON body.
            upload: Opens a raw body; called again for each attempt.
            headers: Further headers.
            keyed: Whether a mutating call carries an idempotency key, which makes it safe to repeat.

        Raises:
            TuneryError: The class that the server's problem names; Unavailable where no server answers.
        """
        extra = dict(headers or {})
        if method != "GET" and upload is None and keyed:
            extra["Idempotency-Key"] = new_id()
        repeatable = method == "GET" or upload is not None or keyed
        arguments: dict[str, Any] = {"params": _present(query), "headers": extra}
        if body is not None:
            arguments["json"] = body
        with self._answered(method, path, arguments, upload, repeatable, whole=True) as response:
            return _envelope(response, self.address)

    @contextmanager
    def stream(
        self, method: str, path: str, *, query: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """Open an answer to read piece by piece. Raises: TuneryError: as for ``call``; Unavailable: it broke off."""
        with self._answered(
            method, path, {"params": _present(query), "headers": headers or {}}, None, True
        ) as response:
            try:
                yield response
            except httpx.TransportError as error:
                raise Unavailable(f"the connection to {self.address} broke off: {error}") from error

    def post_stream(self, path: str, body: Any) -> Iterator[dict[str, Any]]:
        """Send JSON and yield the JSON of each server-sent event of the answer, until ``[DONE]`` or the end."""
        with self._answered("POST", path, {"json": body}, None, False) as response:
            try:
                for _, data in events_of(lines_of(response.iter_bytes())):
                    if data == "[DONE]":
                        return
                    yield json.loads(data)
            except httpx.TransportError as error:
                raise Unavailable(f"the connection to {self.address} broke off: {error}") from error

    def _open(self) -> httpx.Client:
        with self._opening:
            if self._http is None:
                self._address, token = open_address(self.settings, self._closing)
                self._http = self._closing.enter_context(self._address.open(token))
            return self._http

    def _find_again(self) -> None:
        """Forget a server of this machine that has gone; the next call finds its successor or starts one."""
        if self._address is not None and not self._address.own and not self.settings.url:
            self._http = None

    @contextmanager
    def _answered(
        self,
        method: str,
        path: str,
        arguments: dict[str, Any],
        upload: Callable[[], Body] | None,
        repeatable: bool,
        whole: bool = False,
    ) -> Iterator[httpx.Response]:
        for attempt in range(1, _ATTEMPTS + 1):
            last = attempt == _ATTEMPTS
            with ExitStack() as held:
                if upload is not None:
                    body = held.enter_context(upload())
                    # As pieces and not as a file, which httpx would read and send 64 KiB at a time.
                    arguments["content"] = iter(partial(body.read, _PIECE_BYTES), b"")
                    arguments["headers"] = {**arguments["headers"], "Content-Length": str(body.size_bytes)}
                try:
                    http = self._open()
                    request = http.build_request(method, path, timeout=self._patience(method), **arguments)
                    response = http.send(request, stream=not whole)
                except _BROKEN as error:
                    unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                    if last or not (repeatable or unsent):
                        raise Unavailable(_silence(self._address, error)) from error
                    self._find_again()
                    time.sleep(self.pause(attempt))
                    continue
                except httpx.TransportError as error:
                    raise Unavailable(_silence(self._address, error)) from error
                held.callback(response.close)
                if response.is_success:
                    yield response
                    return
                response.read()
                problem = _error_of(response, self.address)
                asked = response.headers.get("Retry-After")
                if asked is not None:
                    problem.details["retry_after"] = asked
                if last or not repeatable or not _passing(response, problem):
                    raise problem
                time.sleep(self.pause(attempt, asked))

    def _patience(self, method: str) -> httpx.Timeout:
        read = self.silence_seconds if method == "GET" else self.work_seconds
        return httpx.Timeout(self.silence_seconds, connect=5, read=read)

    def pause(self, attempt: int, retry_after: str | None = None) -> float:
        """Return seconds to wait: what the server asked for, else doubling with full jitter, so that callers spread."""
        asked = float(retry_after) if retry_after and retry_after.isdigit() else 0.0
        return min(_LONGEST_PAUSE, max(asked, random.uniform(0, self.first_pause_seconds * 2**attempt)))


def events_of(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yield id and data of each server-sent event. Source: WHATWG HTML, "Server-sent events", interpretation."""
    last_id, data = "", list[str]()
    for line in lines:
        if not line:
            if data:
                yield last_id, "\n".join(data)
            data = []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "id":
            last_id = value


def _envelope(response: httpx.Response, address: Address) -> tuple[Any, dict[str, Any] | None]:
    try:
        answer = response.json()
        return answer["data"], answer.get("meta")
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"{address} answered in a shape that is not Tunery's; is it a Tunery server?") from error


def _error_of(response: httpx.Response, address: Address) -> TuneryError:
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if isinstance(problem, dict) and isinstance(problem.get("error"), dict):
        # The gateway speaks OpenAI's shape. Source: OpenAI API reference, "Error codes".
        problem = {"code": str(problem["error"].get("code")), "detail": problem["error"].get("message")}
    if not isinstance(problem, dict) or not isinstance(problem.get("code"), str):
        problem = {"detail": f"{address} answered {response.status_code} without saying why; is it a Tunery server?"}
    error = error_from_problem(problem)
    if type(error) is not TuneryError:
        return error
    kind = _BY_STATUS.get(response.status_code, Unavailable if response.status_code >= 500 else MalformedRequest)
    return kind(error.message, **error.details)


def _passing(response: httpx.Response, error: TuneryError) -> bool:
    """Tell whether the same call may well succeed in a moment; a missing library or engine will not come by itself."""
    return response.status_code == 429 or (response.status_code == 503 and type(error) is Unavailable)


def _silence(address: Address | None, error: httpx.TransportError) -> str:
    where = address or "this machine"
    if isinstance(error, httpx.TimeoutException):
        return f"{where} did not answer in time ({type(error).__name__}); look what stands before you repeat the deed"
    return f"no Tunery answers at {where} ({error}); start one with `tunery serve`, or unset TUNERY_URL to work here"


def _present(query: dict[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (query or {}).items() if value is not None}
