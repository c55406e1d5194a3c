"""A proxy that does to each HTTP request what a schedule says: the network and the server on a bad day."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

FAULTS = ("latency", "reset", "slow_down", "truncated", "answer_lost", "answer_late")
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class FaultProxy:
    """Forwards requests to a server on this machine.

    Attributes:
        port: Where it listens on 127.0.0.1.
        done: How often each fault struck; ``none`` counts what passed unharmed.
    """

    def __init__(self, upstream: int, schedule: Callable[[], str], late_seconds: float) -> None:
        self.schedule = schedule
        self.done: Counter[str] = Counter()
        self.port = 0
        self._upstream = upstream
        self._late = late_seconds

    @contextmanager
    def running(self) -> Iterator[FaultProxy]:
        """Listen until the block ends, in a thread of its own."""
        with listening(self._serve) as self.port:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            body = await reader.readexactly(int(length[1])) if length else b""
            fault = self.schedule()
            self.done[fault] += 1
            await self._answer(fault, head, body, writer)
        writer.close()

    async def _answer(self, fault: str, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        if fault == "reset":
            writer.transport.abort()
            return
        if fault == "slow_down":
            length = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(_SLOW_DOWN)
            writer.write(b"HTTP/1.1 503 Slow Down\r\n" + length + _SLOW_DOWN)
            await writer.drain()
            return
        if fault == "latency":
            await asyncio.sleep(self._late / 5)
        answer = await self._asked(head, body)
        if fault == "answer_late":
            await asyncio.sleep(self._late)
        if fault in ("answer_lost", "answer_late"):
            writer.transport.abort()
            return
        start = answer.index(b"\r\n\r\n") + 4
        writer.write(answer[: start + (len(answer) - start) // 2] if fault == "truncated" else answer)
        await writer.drain()

    async def _asked(self, head: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        writer.write(head[:-2] + b"connection: close\r\n\r\n" + body)
        await writer.drain()
        answer = await reader.read()
        writer.close()
        return answer


@contextmanager
def listening(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> Iterator[int]:
    """Serve connections on a port of this machine until the block ends, in a thread of its own; give the port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(serve, "127.0.0.1", 0), loop).result()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    waiting = asyncio.all_tasks() - {asyncio.current_task()}
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
