"""Read a request's JSON: bounded, and without what JSON allows and no database, file or model can hold."""

from __future__ import annotations

import json
import math
from typing import Any

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from tunery.errors import MalformedRequest, TooLarge, UnsupportedMedia

__all__ = ["JsonRequest", "read_json"]

_SMALL_BYTES = 65_536
_DEEPEST = 64
_READ_SECONDS = 60.0


class JsonRequest(Request):
    """A request whose JSON body has been read; FastAPI takes it from here instead of reading it itself."""

    def __init__(self, request: Request, value: dict[str, Any]) -> None:
        super().__init__(request.scope, request.receive)
        self._value = value

    async def body(self) -> bytes:
        """Return what tells FastAPI that there is a body."""
        return b"{}"

    async def json(self) -> Any:
        """Return the body as it was read."""
        return self._value


async def read_json(request: Request, limit: int) -> dict[str, Any]:
    """Return the body as a JSON object.

    Args:
        request: The request, its body unread.
        limit: Most bytes that are read.

    Raises:
        TooLarge: It has more. UnsupportedMedia: it is compressed. MalformedRequest: it is no JSON object, is nested
        deeper than 64, names a key twice, or holds NUL, half of a surrogate pair, or a number that is none.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMedia("compressed bodies are not accepted; send the JSON as it is")
    pieces, size = [], 0
    try:
        with anyio.fail_after(_READ_SECONDS):
            async for piece in request.stream():
                size += len(piece)
                if size > limit:
                    raise TooLarge(f"the body is larger than {limit} bytes (TUNERY_MAX_REQUEST_BYTES)")
                pieces.append(piece)
    except ClientDisconnect as gone:
        raise MalformedRequest("the connection broke before the body was complete") from gone
    except TimeoutError as late:
        raise MalformedRequest(f"the body was not complete after {_READ_SECONDS:.0f} s") from late
    data = b"".join(pieces)
    return _parse(data) if size <= _SMALL_BYTES else await run_in_threadpool(_parse, data)


def _parse(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(
            data.decode("utf-8"), object_pairs_hook=_once, parse_float=_finite, parse_constant=_no_constant
        )
        _check(body, has_escapes=b"\\u" in data)
    except RecursionError:
        raise MalformedRequest("the body is nested too deeply") from None
    except ValueError as fault:
        reason = "it is not UTF-8" if isinstance(fault, UnicodeDecodeError) else str(fault)
        raise MalformedRequest(f"the body is no valid JSON: {reason}") from None
    if not isinstance(body, dict):
        raise MalformedRequest("the body must be a JSON object")
    return body


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is larger than any number that can be kept")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _check(body: Any, *, has_escapes: bool) -> None:
    """Look at every value. Only ``\\u`` escapes can write NUL and half of a surrogate pair."""
    level, depth = [body], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(f"it is nested deeper than {_DEEPEST}")
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += value.values()
                below += value if has_escapes else ()
            elif isinstance(value, list):
                below += value
            elif has_escapes and isinstance(value, str):
                _check_text(value)
        level = [value for value in below if has_escapes or isinstance(value, (dict, list))]


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ValueError("a text holds NUL (\\u0000)")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds half of a surrogate pair") from None
