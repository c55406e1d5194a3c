"""Rows and their identity."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from tunery.datasets.quarantine import RowFault
from tunery.datasets.seen import DIGEST_BYTES, Seen
from tunery.kit.digests import canonical_json

__all__ = ["PieceIds", "Row", "RowIds"]

_MAX_KEY = 256
_STANDS = 0
_BY_CONTENT = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Row:
    """A row on its way into a dataset version.

    Attributes:
        row_id: Its identity within the dataset; sanitising and edits keep it.
        line: The line of the source file it begins on.
        values: Its columns; plain JSON.
        subjects: Entries of the subject index for it as it was imported, in hex, one behind the other.
        split: The split that a column of the file said; empty: none did.
    """

    row_id: str
    line: int
    values: dict[str, Any]
    subjects: str = ""
    split: str = ""

    def with_values(self, values: dict[str, Any]) -> Row:
        """Return the same row with other columns."""
        return Row(self.row_id, self.line, values, self.subjects, self.split)


class RowIds:
    """Names the rows of one import, before anything is done to them.

    With a key column the row's id is the key's value. Without, it is BLAKE3-128 over the canonical JSON of the imported
    row and the number of equal rows before it, so that it stays the same wherever the row stands in the file. Ids are
    unique within a dataset, not beyond it.

    Args:
        key: The key column.
        taken: Ids of rows that stand already, which these rows come to.
        folder: A private folder for what memory does not hold; none: the system's.

    Attributes:
        count: Rows named so far.
        content: Canonical JSON of the row named last, as it was imported; empty with a key.
    """

    def __init__(self, key: str | None, taken: Iterable[str] = (), folder: Path | None = None) -> None:
        self.count = 0
        self.content = b""
        self._key = key
        self._seen = Seen(folder)
        for row_id in taken:
            self._seen.add(self._digest(row_id), _STANDS)

    def knows(self, keys: Iterable[str]) -> bool:
        """Tell whether rows are named by a key, and any of these came before."""
        return self._key is not None and any(self._seen.number(self._digest(key)) is not None for key in keys)

    def take(self, row_ids: Sequence[str], lines: Sequence[int]) -> list[bool]:
        """Name rows as another process did, which knew a part of the file only; false: the id was given before."""
        if self._key is None:
            data = bytes.fromhex("".join(row_ids))
            digests = [data[start : start + DIGEST_BYTES] for start in range(0, len(data), DIGEST_BYTES)]
        else:
            digests = [*map(self._digest, row_ids)]
        new = self._seen.add_all(digests, lines)
        self.count += sum(new)
        return new

    def name(self, values: dict[str, Any], line: int) -> str:
        """Return the id of an imported row. Raises: RowFault: its key is missing, no plain value, or not unique."""
        if self._key is not None:
            row_id = self._by_key(self._key, values, line)
            self.count += 1
            return row_id
        self.content = canonical_json(values)
        digest = _digest_of(self.content, 0)
        return digest.hex() if self._is_new(digest, line) else self.name_copy(self.content, line)

    def name_copy(self, content: bytes, line: int) -> str:
        """Return the id of a row whose content came before: of the first copy that has none."""
        known, free = 0, 1
        while self._seen.number(_digest_of(content, free)) is not None:
            known, free = free, 2 * free
        while free - known > 1:  # copies have their ids one after the other
            middle = (known + free) // 2
            if self._seen.number(_digest_of(content, middle)) is None:
                free = middle
            else:
                known = middle
        digest = _digest_of(content, free)
        self._seen.add(digest, line)
        self.count += 1
        return digest.hex()

    def _is_new(self, digest: bytes, line: int) -> bool:
        new = self._seen.add(digest, line)
        self.count += new
        return new

    def _digest(self, row_id: str) -> bytes:
        if self._key is None and _BY_CONTENT.fullmatch(row_id):
            return bytes.fromhex(row_id)
        return blake3(row_id.encode("utf-8", "surrogatepass")).digest(DIGEST_BYTES)

    def _by_key(self, column: str, values: dict[str, Any], line: int) -> str:
        value = values.get(column)
        if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
            raise RowFault(f"the key column {column!r} is missing, empty, or neither text nor a whole number")
        key = str(value)
        if len(key) > _MAX_KEY:
            raise RowFault(f"the key is longer than {_MAX_KEY} characters")
        digest = self._digest(key)
        if (first := self._seen.number(digest)) == _STANDS:
            raise RowFault("the dataset has a row with its key already; mode: merge replaces it")
        if first is not None:
            raise RowFault(f"its key stands on line {first} already")
        self._seen.add(digest, line)
        return key


class PieceIds(RowIds):
    """Names the rows of a piece of a file: each by its content as if it were the first, or by its key."""

    def _is_new(self, digest: bytes, line: int) -> bool:
        self.count += 1
        return True  # who knows the whole file tells whether it came before


def _digest_of(content: bytes, copy: int) -> bytes:
    return blake3(content + b"\n%d" % copy).digest(DIGEST_BYTES)
