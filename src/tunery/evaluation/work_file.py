"""Answers on disk while an evaluation is under way, so that a crash costs at most the batch that was being written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["WorkFile"]


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

    def append(self, records: Iterable[dict[str, Any]]) -> None:
        """Append records and return once they are on the disk."""
        batch = list(records)
        with self._path.open("ab") as file:
            file.write(b"".join(json.dumps(record).encode() + b"\n" for record in batch))
            file.flush()
            os.fsync(file.fileno())
        for record in batch:
            self._keep(record)

    def _read(self) -> int:
        """Read the whole lines; return where they end."""
        data = self._path.read_bytes() if self._path.exists() else b""
        end = data.rfind(b"\n") + 1
        for line in data[:end].splitlines():
            self._keep(json.loads(line))
        return end

    def _keep(self, record: dict[str, Any]) -> None:
        self._kept.setdefault((record["kind"], record["row_id"]), record)
