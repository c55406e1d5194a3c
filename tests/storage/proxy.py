"""A network that breaks: forwards TCP to a server and cuts each connection where it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.fault_proxy import listening


@dataclass
class Cut:
    """After how many bytes a connection ends, either way; None: never."""

    up: int | None = None
    down: int | None = None


@contextmanager
def proxied(server: Path, next_cut: Callable[[], Cut]) -> Iterator[str]:
    """Forward to a server; give the URL. ``next_cut`` is asked once for each connection.

    Args:
        server: Its Unix socket, or the ``server.json`` that tells its port. While it is away, connections stand still.
        next_cut: Where the next connection ends.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cut = next_cut()
        ends = [writer]
        try:
            upstream, to_server = await _reached(server)
            ends.append(to_server)
            ways = [_forward(reader, to_server, cut.up), _forward(upstream, writer, cut.down)]
            tasks = [asyncio.ensure_future(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        finally:
            for end in ends:
                end.transport.abort()

    with listening(serve) as port:
        yield f"http://127.0.0.1:{port}"


async def _reached(server: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        with suppress(OSError):
            if server.suffix != ".json":
                return await asyncio.open_unix_connection(str(server))
            return await asyncio.open_connection("127.0.0.1", urlsplit(json.loads(server.read_text())["url"]).port)
        await asyncio.sleep(0.02)


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
