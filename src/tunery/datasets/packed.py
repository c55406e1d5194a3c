"""Rows as they travel between processes: their columns as the JSON that will be kept, with what is told by it."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple, cast

from blake3 import blake3

from tunery.datasets.rows import Row
from tunery.datasets.shapes import Shape, content_of, input_of
from tunery.kit.digests import canonical_json

__all__ = ["PackedRow", "as_row", "content_digest", "packed"]


class PackedRow(NamedTuple):
    """A row that another process has read.

    Attributes:
        row_id: Its identity within the dataset.
        line: The line of the source file it begins on.
        content: Its columns as canonical JSON.
        asked: What a model is asked in it.
        row_hash: SHA-256 of ``content``.
        learned: Digest of what a model would learn from it.
        subjects: As of a ``Row``.
        imported: Digest of the row as it was imported, where that names it.
    """

    row_id: str
    line: int
    content: str
    asked: str
    row_hash: bytes
    learned: bytes
    subjects: str
    imported: bytes = b""

    @property
    def values(self) -> dict[str, Any]:
        """The row's columns."""
        values: dict[str, Any] = json.loads(self.content)
        return values

    def with_values(self, values: dict[str, Any]) -> Row:
        """Return the same row with other columns."""
        return Row(self.row_id, self.line, values, self.subjects)


def as_row(row: PackedRow) -> Row:
    """Return a packed row where a row is wanted: it has all that steps and staging ask of one."""
    return cast("Row", row)


def content_digest(row: Row, shape: Shape) -> bytes:
    """Return BLAKE3-128 over what a model would learn from a row."""
    if isinstance(row, PackedRow):
        return row.learned
    return blake3(canonical_json(content_of(shape, row.values))).digest(16)


def packed(row: Row, shape: Shape, imported: bytes = b"", content: bytes = b"") -> PackedRow:
    """Return a row packed.

    Args:
        row: The row.
        shape: Its shape.
        imported: Digest of it as it was imported, where that names it.
        content: Its columns as canonical JSON, if that is known.
    """
    content = content or canonical_json(row.values)
    learned, asked = content_digest(row, shape), input_of(shape, row.values)
    row_hash = hashlib.sha256(content).digest()
    return PackedRow(row.row_id, row.line, content.decode(), asked, row_hash, learned, row.subjects, imported)
