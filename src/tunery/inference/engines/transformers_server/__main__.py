"""``python -m tunery.inference.engines.transformers_server``, order on standard input."""

from __future__ import annotations

import logging
from pathlib import Path

from tunery.inference.engines.listening import serve
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
    serve(app, ready)


if __name__ == "__main__":
    main()
