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
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = uvicorn.Server(uvicorn.Config(app, access_log=False, server_header=False))

    async def run() -> None:
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        ready(listener.getsockname()[1])
        await serving

    asyncio.run(run())
