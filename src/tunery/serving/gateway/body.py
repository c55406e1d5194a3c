"""Read a request's body: bounded, JSON without tricks."""

from __future__ import annotations

import json
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from tunery.errors import MalformedRequest, TooLarge

__all__ = ["read_json"]

_SMALL_BYTES = 65_536


async def read_json(request: Request, limit: int) -> dict[str, Any]:
    """Return the body as a JSON object.

    Args:
        request: The request, its body unread.
        limit: Most bytes that are read.

    Raises:
        TooLarge: It has more. MalformedRequest: it is compressed, no JSON object, or names a key twice.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise MalformedRequest("compressed bodies are not accepted; send the JSON as it is")
    pieces, size = [], 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > limit:
                raise TooLarge(f"the body is larger than {limit} bytes (TUNERY_MAX_REQUEST_BYTES)")
            pieces.append(piece)
    except ClientDisconnect as gone:
        raise MalformedRequest("the connection broke before the body was complete") from gone
    data = b"".join(pieces)
    return _parse(data) if size <= _SMALL_BYTES else await run_in_threadpool(_parse, data)


def _parse(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data.decode("utf-8"), object_pairs_hook=_once)
        if b"\\u" in data:
            json.dumps(body, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is no text
    except RecursionError:
        raise MalformedRequest("the body is nested too deeply") from None
    except ValueError as fault:
        reason = "it is not UTF-8" if isinstance(fault, UnicodeError) else str(fault)
        raise MalformedRequest(f"the body is no valid JSON: {reason}") from None
    if not isinstance(body, dict):
        raise MalformedRequest("the body must be a JSON object")
    return body


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found
