"""The progress of a pipeline while it runs: moving on a terminal, plain lines elsewhere; on standard error."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from tunery.cli.output import console, note, plain_text
from tunery.cli.progress import event_line, share_of
from tunery.cli.report import stage_line
from tunery.kit.units import format_seconds

__all__ = ["Screen", "open_screen"]

_SECONDS_BETWEEN_LINES = 5.0
_STYLES = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "waiting": "dim", "queued": "dim"}


class Screen(Protocol):
    """Where a pipeline's progress is shown."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def event(self, event: dict[str, Any]) -> None:
        """Show what the running stage reported."""
        ...

    def stages(self, stages: list[dict[str, Any]]) -> None:
        """Show how far the stages are."""
        ...

    def waiting(self, text: str | None) -> None:
        """Show what the work waits for; None: it does not."""
        ...


def open_screen(screen: Console | None = None) -> Screen:
    """Return what fits the console (standard error): moving on a terminal, else plain lines."""
    screen = screen or console(stderr=True)
    return _Moving(screen) if screen.is_terminal else _Lines()


class _Moving:
    """A line a stage, redrawn in place; the running one with its steps, loss, speed and time left."""

    def __init__(self, screen: Console) -> None:
        self._spinner = Spinner("dots")
        self._stages: list[dict[str, Any]] = []
        self._event: dict[str, Any] = {}
        self._waiting: str | None = None
        self._live = Live(console=screen, refresh_per_second=8, get_renderable=self._draw)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def event(self, event: dict[str, Any]) -> None:
        if share_of(event) is not None or share_of(self._event) is None:
            self._event = event

    def stages(self, stages: list[dict[str, Any]]) -> None:
        if _running(stages) != _running(self._stages):
            self._event = {}
        self._stages = stages

    def waiting(self, text: str | None) -> None:
        self._waiting = text

    def _draw(self) -> RenderableType:
        below = [Text(plain_text(self._waiting), style="yellow")] if self._waiting else []
        return Group(*(self._line(stage) for stage in self._stages), *below)

    def _line(self, stage: dict[str, Any]) -> RenderableType:
        if stage["status"] != "running":
            return Text(stage_line(stage), style=_STYLES.get(stage["status"], ""))
        title = f"{stage['title']}  {format_seconds(stage['seconds'] or 0)}"
        self._spinner.update(text=Text(plain_text(title), style="bold cyan"))
        if not self._event:
            return self._spinner
        below = Table.grid(padding=(0, 1))
        share = share_of(self._event)
        bar = [ProgressBar(total=1.0, completed=share, width=24)] if share is not None else []
        below.add_row("   ", *bar, Text(event_line(self._event)))
        return Group(self._spinner, below)


class _Lines:
    """A line when a stage begins or ends, and one every few seconds in between."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}
        self._last = 0.0
        self._waiting: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def event(self, event: dict[str, Any]) -> None:
        if time.monotonic() - self._last > _SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            note(f"    {event_line(event)}")

    def stages(self, stages: list[dict[str, Any]]) -> None:
        for stage in stages:
            if self._seen.get(stage["name"]) != stage["status"] and stage["status"] not in ("waiting", "queued"):
                note(stage_line(stage))
            self._seen[stage["name"]] = stage["status"]

    def waiting(self, text: str | None) -> None:
        if text is not None and text != self._waiting:
            note(text)
        self._waiting = text


def _running(stages: list[dict[str, Any]]) -> str | None:
    return next((stage["name"] for stage in stages if stage["status"] == "running"), None)
