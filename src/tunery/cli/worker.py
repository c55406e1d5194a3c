"""``tunery worker``."""

from __future__ import annotations

from tunery.cli.noun import Noun
from tunery.settings import Settings

noun = Noun("worker", "Run a worker alone.")


@noun.command("worker", example="TUNERY_WORKER_NAME=second tunery worker")
def worker() -> None:
    """Carry out jobs until Ctrl-C; several workers need Postgres and a name each."""
    from tunery.app import work

    work(Settings())
