"""``python -m tunery.inference.engines.transformers_server``, order on standard input."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

import uvicorn

from tunery.inference.engines.transformers_server.app import build_app
from tunery.inference.engines.transformers_server.model import LoadedModel
from tunery.inference.engines.transformers_server.worker import Worker
from tunery.inference.lifeline import begin

__all__ = ["main"]


def main() -> None:
    """Serve until the parent ends."""
    order, ready = begin()
    logging.basicConfig(level=logging.INFO)
    adapters = {name: Path(folder) for name, folder in order["adapters"].items()}
    model = LoadedModel(Path(order["model"]), adapters, order["threads"])
    app = build_app(
        model,
        Worker(model, order["slots"]),
        key=order["key"],
        adapters=list(adapters),
        context_length=order["context_length"],
    )
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = uvicorn.Server(uvicorn.Config(app, access_log=False, server_header=False))

    async def serve() -> None:
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        ready(listener.getsockname()[1])
        await serving

    asyncio.run(serve())


if __name__ == "__main__":
    main()
