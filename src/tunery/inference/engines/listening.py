"""Serve an engine's application on a free port of loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

__all__ = ["serve"]


def serve(app: ASGIApp, ready: Callable[[int], None]) -> None:
    """Serve until the process ends; ``ready`` gets the port once the application answers on it."""
    # asyncio switches Nagle's delay off only where the protocol is named; 40 ms a request otherwise.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    config = uvicorn.Config(app, http="h11", loop="asyncio", access_log=False, server_header=False)
    server = uvicorn.Server(config)

    async def run() -> None:
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            ready(listener.getsockname()[1])
        await serving

    asyncio.run(run())
