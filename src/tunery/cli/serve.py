"""``tunery serve``."""

from __future__ import annotations

import signal
import sys
from typing import Annotated, Any

import typer

from tunery.cli.noun import Noun
from tunery.settings import Settings

noun = Noun("serve", "Serve API, worker and gateway on one port.")


@noun.command("serve", example="tunery serve --port 8800")
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; others than loopback need tokens.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = None,
    worker: Annotated[bool, typer.Option(help="Carry out jobs in this process too.")] = True,
) -> None:
    """Serve API, worker and gateway on one port until Ctrl-C; docs at /api/docs."""
    from tunery.app import serve as serve_house

    # uvicorn sends itself the signal again at its end; unhandled, that would cut off what is still to be put away.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    given: dict[str, Any] = {"host": host, "port": port}
    serve_house(Settings(**{k: v for k, v in given.items() if v is not None}), with_worker=worker)
