"""Bars for uploads and downloads; on a terminal only, and only where bytes really move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from tunery.cli.output import console, for_machines, plain_text

__all__ = ["watching"]


@contextmanager
def watching(verb: str) -> Iterator[Callable[[str, int, int], None]]:
    """Give a function to call with a name, the bytes done and the bytes in all.

    Args:
        verb: What is being done, such as ``upload``.
    """
    screen = console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    hidden = for_machines.get() or not screen.is_terminal
    with Progress(*columns, console=screen, disable=hidden, transient=True) as bars:
        tasks = {}

        def watch(name: str, done: int, size: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(f"{verb} {plain_text(name)}", total=size)
            bars.update(tasks[name], completed=done)

        yield watch
