"""What commands print: a table or a sheet for people, JSON for machines, and no stranger's control characters."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import typer
from pydantic import BaseModel
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from tunery.errors import InvalidInput, TuneryError
from tunery.kit.units import format_bytes, format_seconds

__all__ = [
    "Output",
    "confirm",
    "console",
    "for_machines",
    "note",
    "plain",
    "plain_text",
    "print_json",
    "sheet",
    "table",
]

_UNSAFE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x1b\\|\x07|$)|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]",
    re.DOTALL,
)
_DIGEST_SHOWN = 12
_FILE_WIDTH = 120
for_machines: ContextVar[bool] = ContextVar("for_machines", default=False)
"""Whether the running command prints JSON, and nothing that moves."""
_COPIED = {"id", "keyId", "name", "reference"}


@dataclass(frozen=True)
class Output:
    """What a command found.

    Attributes:
        data: Plain data for ``--json``.
        shown: How people see it; None: nothing.
        parts: What follows below that.
        failure: What to raise after printing: the command did its work, and its finding is a failure.
    """

    data: Any
    shown: RenderableType | None = None
    parts: list[RenderableType] = field(default_factory=list)
    failure: TuneryError | None = None

    def print(self, *, as_json: bool) -> None:
        """Write it to standard output."""
        if as_json:
            print_json(self.data)
            return
        for part in [self.shown, *self.parts]:
            if part is not None:
                console().print(part, soft_wrap=isinstance(part, Text) and bool(part.no_wrap))


def console(*, stderr: bool = False) -> Console:
    """Return a console that takes no markup, so that brackets in data stay brackets; files get wider lines."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _FILE_WIDTH
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, width=width)


def note(text: str) -> None:
    """Say something beside the result, on standard error."""
    print(plain_text(text), file=sys.stderr, flush=True)  # noqa: T201


def confirm(question: str) -> None:
    """Ask yes or no on the terminal. Raises: InvalidInput: nobody is there to ask; Abort: the answer is no."""
    if not sys.stdin.isatty():
        raise InvalidInput(f"{question} Nobody is here to answer; say --confirm")
    print(f"{plain_text(question)} [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise typer.Abort


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Write plain JSON to standard output; everything beyond ASCII is escaped, so terminals obey none of it."""
    sys.stdout.write(json.dumps(plain(value), indent=indent) + "\n")
    sys.stdout.flush()


def plain(value: Any) -> Any:
    """Return views as the plain JSON that the API speaks."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def plain_text(text: str) -> str:
    """Strip terminal escapes and other control characters; tabs and line ends stay."""
    return _UNSAFE.sub("", text)


def table(rows: Iterable[Any], *columns: str, empty: str = "nothing yet") -> Output:
    """Show things as a table.

    Args:
        rows: Views or plain objects.
        columns: Their fields as the API names them; dots lead into nested ones.
        empty: What to say where there are none.
    """
    data = plain([*rows])
    if not data:
        return Output(data, Text(empty))
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # What people copy into the next command stays in one piece.
        grid.add_column(_title(column), overflow="fold", no_wrap=column in _COPIED)
    for row in data:
        grid.add_row(*(_cell(column, _look_up(row, column)) for column in columns))
    return Output(data, grid)


def sheet(value: Any, *fields: str) -> Output:
    """Show one thing, a field a line: the fields named, else all that are set."""
    data = plain(value)
    grid = Table(box=None, pad_edge=False, show_header=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name in fields or data:
        found = _look_up(data, name)
        if found not in (None, "", [], {}):
            grid.add_row(_title(name), _cell(name, found, whole=True))
    return Output(data, grid)


def _look_up(row: Any, path: str) -> Any:
    for part in path.split("."):
        row = row.get(part) if isinstance(row, dict) else None
    return row


def _title(path: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", path.rsplit(".", 1)[-1]).lower()
    return re.sub(r" (bytes|at|seconds)$", "", words)


def _cell(path: str, value: Any, *, whole: bool = False) -> Text:
    style = ""
    if path.endswith("status"):
        style = {"succeeded": "green", "ready": "green", "failed": "red", "running": "cyan"}.get(str(value), "")
    return Text(plain_text(_formatted(path, value, whole)), style=style)


def _formatted(path: str, value: Any, whole: bool) -> str:
    formats: dict[str, Callable[[Any], str]] = {"Bytes": format_bytes, "econds": format_seconds, "At": _local_time}
    if value is None:
        return "-"
    for ending, format_value in formats.items():
        if path.endswith(ending) and not isinstance(value, bool | dict | list):
            return format_value(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if item not in (None, "", [], {})}
        if not any(isinstance(item, dict | list) for item in value.values()):
            return ", ".join(f"{key} {item}" for key, item in value.items()) or "-"
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return "\n".join(_formatted(path, item, whole) for item in value)
    if isinstance(value, dict | list):
        return json.dumps(value, indent=2 if whole else None, ensure_ascii=False)
    if not whole and path.lower().endswith("digest"):
        return str(value)[:_DIGEST_SHOWN]
    return str(value)


def _local_time(value: Any) -> str:
    try:
        return datetime.fromisoformat(str(value)).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return str(value)
