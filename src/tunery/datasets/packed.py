"""Rows as they travel between processes: their columns as the JSON that will be kept, with what is told by it."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from hashlib import sha256
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from blake3 import blake3

from tunery.datasets.rows import Row
from tunery.datasets.shapes import Shape, content_of
from tunery.kit.digests import canonical_json

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Chunk", "PackedRow", "PackedRows", "chunked", "content_digest", "packed"]

_CHUNK_CHARACTERS = 1 << 19
_LEAST_CHARACTERS = 5000


class PackedRow(NamedTuple):
    """A row that was packed.

    Attributes:
        row_id: Its identity within the dataset.
        line: The line of the source file it begins on.
        content: Its columns as canonical JSON.
        row_hash: SHA-256 of ``content``.
        learned: Digest of what a model would learn from it.
        entries: Entries of the subject index for it, one behind the other.
        split: As of a ``Row``.
    """

    row_id: str
    line: int
    content: str
    row_hash: bytes
    learned: bytes
    entries: bytes
    split: str

    @property
    def values(self) -> dict[str, Any]:
        """The row's columns."""
        values: dict[str, Any] = json.loads(self.content)
        return values

    @property
    def subjects(self) -> str:
        """As of a ``Row``."""
        return self.entries.hex()

    def with_values(self, values: dict[str, Any]) -> Row:
        """Return the same row with other columns."""
        return Row(self.row_id, self.line, values, self.subjects, self.split)


class PackedRows:
    """Rows that were packed, column by column.

    Args:
        batch: Their columns, those of ``PackedRow``.
    """

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return cast("int", self.batch.num_rows)

    def __iter__(self) -> Iterator[Row]:
        """Yield each where a row is wanted: it has all that steps ask of one."""
        return cast("Iterator[Row]", map(PackedRow, *(column.to_pylist() for column in self.batch.columns)))

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.batch.serialize().to_pybytes(),)

    def where(self, chosen: Sequence[bool]) -> PackedRows:
        """Return the rows for which the flag is set."""
        import pyarrow as pa

        return PackedRows(self.batch.filter(pa.array(chosen, pa.bool_())))

    def renamed(self, row_ids: list[str]) -> PackedRows:
        """Return them with other ids."""
        import pyarrow as pa

        ids = _joined([row_id.encode() for row_id in row_ids], pa.string())
        return PackedRows(self.batch.set_column(0, self.batch.schema.field(0), ids))

    @property
    def learned(self) -> list[bytes]:
        """Digests of what a model would learn from them."""
        column = self.batch["learned"]
        size, first = column.type.byte_width, column.offset
        data = column.buffers()[1].slice(size * first, size * len(column)).to_pybytes() if len(column) else b""
        return [data[start : start + size] for start in range(0, len(data), size)]

    def column(self, name: str) -> list[Any]:
        """Return one of their columns."""
        return cast("list[Any]", self.batch[name].to_pylist())


Chunk: TypeAlias = list[Row] | PackedRows
"""Some rows in order."""


def chunked(rows: Iterable[Row]) -> Iterator[Chunk]:
    """Yield rows in chunks of about half a megabyte; the first chunk is the first row."""
    held: list[Row] = []
    size = _CHUNK_CHARACTERS
    for row in rows:
        held.append(row)
        size += len(row.content) if isinstance(row, PackedRow) else max(_LEAST_CHARACTERS, _characters(row.values))
        if size >= _CHUNK_CHARACTERS:
            yield held
            held, size = [], 0
    if held:
        yield held


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(name) + _characters(each) for name, each in value.items())
    return sum(map(_characters, value)) if isinstance(value, list) else 0


def content_digest(row: Row, shape: Shape) -> bytes:
    """Return BLAKE3-128 over what a model would learn from a row."""
    if isinstance(row, PackedRow):
        return row.learned
    content = content_of(shape, row.values)
    texts = all([isinstance(part, str) for part in content])
    told = "".join([f"{len(part)} {part}" for part in content]).encode() if texts else canonical_json(content)
    return blake3(told).digest(16)


def packed(rows: Iterable[Row], shape: Shape, contents: Iterable[bytes] | None = None) -> PackedRows:
    """Return rows packed.

    Args:
        rows: The rows.
        shape: Their shape.
        contents: The columns of each as canonical JSON, if that is known.
    """
    import pyarrow as pa

    found = [*rows]
    written = [_written(row) for row in found] if contents is None else [*contents]
    hashes = [_hash(row, content) for row, content in zip(found, written, strict=True)]
    lines = pa.py_buffer(array("q", [row.line for row in found]))
    arrays = [
        _joined([row.row_id.encode() for row in found], pa.string()),
        pa.Array.from_buffers(pa.int64(), len(found), [None, lines]),
        _joined(written, pa.string()),
        _side_by_side(hashes, 32),
        _side_by_side([content_digest(row, shape) for row in found], 16),
        _joined(
            [row.entries if isinstance(row, PackedRow) else bytes.fromhex(row.subjects) for row in found], pa.binary()
        ),
        _joined([row.split.encode() for row in found], pa.string()),
    ]
    return PackedRows(pa.record_batch(arrays, schema=_schema()))


def _hash(row: Row, content: bytes) -> bytes:
    return row.row_hash if isinstance(row, PackedRow) else sha256(content).digest()


def _written(row: Row) -> bytes:
    return row.content.encode() if isinstance(row, PackedRow) else canonical_json(row.values)


def _side_by_side(parts: Sequence[bytes], size: int) -> pa.Array:
    import pyarrow as pa

    return pa.Array.from_buffers(pa.binary(size), len(parts), [None, pa.py_buffer(b"".join(parts))])


def _joined(parts: Sequence[bytes], kind: pa.DataType) -> pa.Array:
    """Return an array of texts or bytes; ``pa.array`` would load pandas, where it is installed, to look for series."""
    import pyarrow as pa

    ends = array("i", accumulate(map(len, parts), initial=0))
    return pa.Array.from_buffers(kind, len(parts), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(parts))])


def _unpickled(data: bytes) -> PackedRows:
    import pyarrow as pa

    return PackedRows(pa.ipc.read_record_batch(pa.py_buffer(data), _schema()))


@cache
def _schema() -> pa.Schema:
    import pyarrow as pa

    types = (pa.string(), pa.int64(), pa.string(), pa.binary(32), pa.binary(16), pa.binary(), pa.string())
    return pa.schema([*zip(PackedRow._fields, types, strict=True)])
