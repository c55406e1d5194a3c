"""Downloads: whole, or one range. Source: RFC 9110, section 14."""

from __future__ import annotations

import re
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from tunery.platform.http.call import Call

__all__ = ["ranged"]

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


def ranged(call: Call, digest: str, size: int, file_name: str) -> Response:
    """Answer with a blob's bytes; one valid range gives 206, an unsatisfiable one 416, anything else the whole."""
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
    stream = call.ground.blobs.open(call.actor.tenant_id, digest, start, length)
    return StreamingResponse(stream, status, headers, media_type="application/octet-stream")
