"""What a route handler works with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
import anyio.from_thread
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request

from tunery.errors import MalformedRequest
from tunery.kit.actor import Actor
from tunery.platform.db import Page, TenantSession
from tunery.platform.ground import Ground

__all__ = ["AsyncCall", "Call"]

View = TypeVar("View", bound=BaseModel)
_IDLE_SECONDS = 60.0
_PIECE_BYTES = 1 << 20


@dataclass
class Call:
    """One request: who asks, the session of its one transaction, and the ground.

    The session is committed after the handler returns and before the answer is sent, so a handler that streams its
    answer reads what it needs first. ``services`` holds what ``app.py`` built beyond the ground, by name.
    """

    ground: Ground
    actor: Actor
    session: TenantSession
    request: Request
    services: dict[str, Any]
    meta: dict[str, Any] | None = field(default=None)

    def page(self, page: Page[Any], view: Callable[[Any], View]) -> list[View]:
        """Return a page's items in their shape and put its numbers into the envelope's ``meta``."""
        self.meta = {"total": page.total, "limit": page.limit, "offset": page.offset}
        return [view(item) for item in page.items]

    def body(self) -> Iterator[bytes]:
        """Yield the raw body as it arrives, in pieces of a megabyte; for uploads, from the handler's own thread.

        Raises:
            MalformedRequest: The connection broke, or nothing came for a minute.
        """
        stream = self.request.stream().__aiter__()

        async def next_piece() -> bytes:
            """Gather what the server hands out in small pieces: each way from its thread to ours costs a switch."""
            gathered, size = [], 0
            while size < _PIECE_BYTES:
                with anyio.fail_after(_IDLE_SECONDS):
                    piece = await anext(stream, None)
                if piece is None:
                    break
                gathered.append(piece)
                size += len(piece)
            return b"".join(gathered)

        while True:
            try:
                piece = anyio.from_thread.run(next_piece)
                if not piece:
                    return
                yield piece
            except ClientDisconnect as gone:
                raise MalformedRequest("the connection broke before the upload was complete; send it again") from gone
            except TimeoutError as late:
                raise MalformedRequest(f"nothing came for {_IDLE_SECONDS:.0f} s; send the upload again") from late


@dataclass(frozen=True)
class AsyncCall:
    """One request to an async handler: no session is open, so that an answer may take as long as it takes.

    ``recheck`` asks again whether the actor may do this; it raises Unauthenticated or Forbidden. Long streams await it
    now and then, so that a revoked token ends them.
    """

    ground: Ground
    actor: Actor
    request: Request
    services: dict[str, Any]
    recheck: Callable[[], Awaitable[None]]
