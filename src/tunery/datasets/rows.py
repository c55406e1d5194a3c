"""Rows and their identity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from blake3 import blake3

from tunery.datasets.quarantine import RowFault
from tunery.kit.digests import canonical_json

__all__ = ["Row", "RowIds"]

_MAX_KEY = 256


@dataclass(frozen=True, slots=True)
class Row:
    """A row on its way into a dataset version.

    Attributes:
        row_id: Its identity within the dataset; sanitising and edits keep it.
        line: The line of the source file it begins on.
        values: Its columns; plain JSON.
        subjects: Entries of the subject index for it as it was imported, in hex, one behind the other.
    """

    row_id: str
    line: int
    values: dict[str, Any]
    subjects: str = ""

    def with_values(self, values: dict[str, Any]) -> Row:
        """Return the same row with other columns."""
        return Row(self.row_id, self.line, values, self.subjects)


class RowIds:
    """Names the rows of one import, before anything is done to them.

    With a key column the row's id is the key's value. Without, it is BLAKE3-128 over the canonical JSON of the imported
    row and the number of equal rows before it, so that it stays the same wherever the row stands in the file. Ids are
    unique within a dataset, not beyond it.

    Args:
        key: The key column.
        taken: Ids of rows that stand already, which these rows come to.

    Attributes:
        count: Rows named so far.
        content: Canonical JSON of the row named last, as it was imported; empty with a key.
        digest: Of that content; empty with a key.
    """

    def __init__(self, key: str | None, taken: Collection[str] = ()) -> None:
        self.count = 0
        self.content = self.digest = b""
        self._key = key
        self._taken = taken
        self._lines: dict[str, int] = {}
        self._copies: Counter[bytes] = Counter()

    def knows(self, keys: Iterable[str]) -> bool:
        """Tell whether rows are named by a key, and any of these came before."""
        return self._key is not None and any(key in self._lines or key in self._taken for key in keys)

    def take(self, row_id: str, digest: bytes, line: int) -> bool:
        """Name a row as another process did, which knew a part of the file only; false: its content came before."""
        if self._key is not None:
            self._lines[row_id] = line
        elif digest in self._copies or row_id in self._taken:
            return False
        else:
            self._copies[digest] = 1
        self.count += 1
        return True

    def name(self, values: dict[str, Any], line: int) -> str:
        """Return the id of an imported row. Raises: RowFault: its key is missing, no plain value, or not unique."""
        row_id = self._by_content(values) if self._key is None else self._by_key(self._key, values, line)
        self.count += 1
        return row_id

    def _by_content(self, values: dict[str, Any]) -> str:
        content = self.content = canonical_json(values)
        digest = self.digest = blake3(content).digest(16)
        while True:
            copy = self._copies[digest]
            self._copies[digest] += 1
            row_id = blake3(content + b"\n%d" % copy).hexdigest(16)
            if row_id not in self._taken:
                return row_id

    def _by_key(self, column: str, values: dict[str, Any], line: int) -> str:
        value = values.get(column)
        if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
            raise RowFault(f"the key column {column!r} is missing, empty, or neither text nor a whole number")
        key = str(value)
        if len(key) > _MAX_KEY:
            raise RowFault(f"the key is longer than {_MAX_KEY} characters")
        if key in self._lines:
            raise RowFault(f"the key {key[:80]!r} stands on line {self._lines[key]} already")
        if key in self._taken:
            raise RowFault(f"the dataset has a row with the key {key[:80]!r} already; mode: merge replaces it")
        self._lines[key] = line
        return key
