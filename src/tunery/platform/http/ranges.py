"""Downloads: whole, or one range. Source: RFC 9110, section 14."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tunery.errors import IntegrityError
from tunery.platform.http.call import Call

__all__ = ["ranged"]

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


def ranged(call: Call, digest: str, size: int, file_name: str) -> Response:
    """Answer with a blob's bytes; one valid range gives 206, an unsatisfiable one 416, anything else the whole.

    What comes first is verified before the answer begins. A body that breaks off later may be damaged there: who asks
    for the rest is told so.
    """
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": f'"{digest}"',
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file_name, safe='')}",
        "Content-Security-Policy": "sandbox",
    }
    start, length, status = 0, size, 200
    # Who has the beginning of other bytes gets the whole. Source: RFC 9110, section 13.1.5.
    same = call.request.headers.get("if-range", headers["ETag"]) == headers["ETag"]
    match = _RANGE.fullmatch(call.request.headers.get("range", "") if same else "")
    if match and (match[1] or match[2]):
        first = int(match[1]) if match[1] else max(0, size - int(match[2]))
        last = min(int(match[2]), size - 1) if match[1] and match[2] else size - 1
        if first >= size or last < first:
            return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
        start, length, status = first, last - first + 1, 206
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    headers["Content-Length"] = str(length)
    stream = _named(call.ground.blobs.open(call.actor.tenant_id, digest, start, length), file_name)
    return _Verified(stream, status, headers, media_type="application/octet-stream")


class _Verified(StreamingResponse):
    """A body whose first piece is there before the answer begins, so that damage in it is a problem like any other."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pieces = aiter(self.body_iterator)
        self.body_iterator = _chained(await anext(pieces, b""), pieces)
        await super().__call__(scope, receive, send)


async def _chained(first: Any, rest: AsyncIterator[Any]) -> AsyncIterator[Any]:
    yield first
    async for piece in rest:
        yield piece


def _named(pieces: Iterator[bytes], file_name: str) -> Iterator[bytes]:
    try:
        yield from pieces
    except IntegrityError as error:
        raise IntegrityError(f"{file_name}: {error.message}") from error
