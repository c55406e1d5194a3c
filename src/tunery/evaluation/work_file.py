"""Answers on disk while an evaluation is under way, so that a crash costs the last few of them and no more."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["WorkFile"]

_HELD = 8
"""Records held in memory before they are written: a sync of the disk for each would cost more than tiny answers do."""


class WorkFile:
    """An append-only file of JSON lines, each ``{"row_id": ..., "kind": ..., ...}``.

    Args:
        path: The file; what an earlier attempt wrote is read, and a line that a crash cut short is taken away. Where
            two attempts answered the same row, the first answer counts.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[tuple[str, str], dict[str, Any]] = {}
        whole = self._read()
        with path.open("ab") as file:
            file.truncate(whole)
            os.fsync(file.fileno())

    def get(self, kind: str, row_id: str) -> dict[str, Any] | None:
        """Return what was kept of a kind for a row."""
        return self._kept.get((kind, row_id))

    @contextmanager
    def appending(self) -> Iterator[Callable[[dict[str, Any]], None]]:
        """Give a function that appends a record; it is on the disk after a few more, and at the end of the block."""
        held: list[dict[str, Any]] = []

        def append(record: dict[str, Any]) -> None:
            held.append(record)
            if len(held) >= _HELD:
                self._write(held)

        try:
            yield append
        finally:
            self._write(held)

    def _write(self, held: list[dict[str, Any]]) -> None:
        if not held:
            return
        with self._path.open("ab") as file:
            file.write(b"".join(json.dumps(record).encode() + b"\n" for record in held))
            file.flush()
            os.fsync(file.fileno())
        for record in held:
            self._keep(record)
        held.clear()

    def _read(self) -> int:
        """Read the whole lines; return where they end."""
        data = self._path.read_bytes() if self._path.exists() else b""
        end = data.rfind(b"\n") + 1
        for line in data[:end].splitlines():
            with suppress(ValueError):  # two attempts that wrote at once can spoil a line: its row is asked again
                self._keep(json.loads(line))
        return end

    def _keep(self, record: dict[str, Any]) -> None:
        self._kept.setdefault((record["kind"], record["row_id"]), record)
