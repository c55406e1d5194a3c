"""A network that breaks: forwards TCP to a server's Unix socket and cuts each connection where it is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Cut:
    """After how many bytes a connection ends, either way; None: never."""

    up: int | None = None
    down: int | None = None


@contextmanager
def proxied(socket_path: Path, next_cut: Callable[[], Cut]) -> Iterator[str]:
    """Forward to the socket; give the URL. ``next_cut`` is asked once for each connection."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cut = next_cut()
        try:
            upstream, to_server = await asyncio.open_unix_connection(str(socket_path))
        except OSError:  # the server is away
            writer.transport.abort()
            return
        ways = [_forward(reader, to_server, cut.up), _forward(upstream, writer, cut.down)]
        tasks = [asyncio.ensure_future(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for end in (writer, to_server):
            end.transport.abort()

    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(serve, "127.0.0.1", 0), loop).result()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> None:
    """Pass bytes on until the sender ends or the limit is reached; the bytes before it arrive."""
    passed = 0
    with suppress(ConnectionError):
        while piece := await reader.read(65_536):
            if limit is not None and passed + len(piece) > limit:
                writer.write(piece[: limit - passed])
                await writer.drain()
                return
            writer.write(piece)
            passed += len(piece)
            await writer.drain()
