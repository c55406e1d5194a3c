"""Parquet files of rows, the form in which a dataset version lies in the store.

    row_id    text          the row's identity within its dataset
    split     text          train, validation or test
    line      int64         line of its source file
    row_hash  32 bytes      SHA-256 of ``row``
    row       text          its columns as canonical JSON
    subjects  20 bytes each keyed hashes of the people it is about (``subjects``)

Rows keep their order. Pages are cut by content, so that the store keeps equal runs of rows of two versions once. The
number of the schema stands in the file's metadata (``tunery.schema``). A damaged file raises IntegrityError.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery.datasets.versions.subject_index import Records, records_of
from tunery.errors import IntegrityError, SchemaNewer

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = [
    "MEDIA_TYPE",
    "RowFile",
    "StoredRow",
    "ids_at",
    "read_batches",
    "rows_in",
    "schema_of_rows",
    "write_row_files",
]

MEDIA_TYPE = "application/vnd.apache.parquet"
SCHEMA = 1
_GROUP_ROWS = 1 << 16
_BATCH_ROWS = 1 << 12
_GROUP_BYTES = 16 << 20
_FILE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row of a dataset version.

    Attributes:
        row_id: Its identity within the dataset.
        split: The split it belongs to.
        line: Its line in the source file.
        content: Its columns as canonical JSON.
        subjects: Entries of the subject index that lead to it.
        row_hash: SHA-256 of ``content``, where it is known already.
    """

    row_id: str
    split: str
    line: int
    content: str
    subjects: tuple[bytes, ...] = ()
    row_hash: bytes = field(default=b"", compare=False, repr=False)

    @property
    def values(self) -> dict[str, Any]:
        """The row's columns."""
        values: dict[str, Any] = json.loads(self.content)
        return values


@dataclass(frozen=True)
class RowFile:
    """A file of rows that was just written.

    Attributes:
        path: Where it is.
        rows: Number of its rows by split.
        subjects: Entries of the subject index and the numbers of their rows in the file, as records of it.
    """

    path: Path
    rows: dict[str, int]
    subjects: Records


def schema_of_rows() -> pa.Schema:
    """Return the Arrow schema of a file of rows."""
    import pyarrow as pa

    types = {"row_id": pa.string(), "split": pa.string(), "line": pa.int64()}
    types |= {"row_hash": pa.binary(32), "row": pa.string(), "subjects": pa.list_(pa.binary(20))}
    fields = [pa.field(name, kind, nullable=False) for name, kind in types.items()]
    return pa.schema(fields, metadata={"tunery.schema": str(SCHEMA)})


def write_row_files(folder: Path, rows: Iterable[StoredRow] | Iterable[pa.RecordBatch]) -> Iterator[RowFile]:
    """Write rows to Parquet files of at most about 256 MiB in a folder; yield each when it stands.

    Whoever takes a file may delete it before asking for the next.
    """
    import pyarrow.parquet as pq

    groups = _groups(rows)
    group = next(groups, None)
    number = 0
    while group is not None:
        path, counts = folder / f"rows-{number:05d}.parquet", Counter[str]()
        subjects = Records(folder)
        with path.open("wb") as file, pq.ParquetWriter(file, schema_of_rows(), **_WRITING) as writer:
            while group is not None:
                writer.write_batch(group, row_group_size=_GROUP_ROWS)
                subjects.extend(_subjects(group, counts.total()))
                counts.update({each["values"]: each["counts"] for each in group["split"].value_counts().to_pylist()})
                group = next(groups, None)
                if file.tell() >= _FILE_BYTES:
                    break
        yield RowFile(path, dict(counts), subjects)
        number += 1


_WRITING: dict[str, Any] = {"compression": "zstd", "use_content_defined_chunking": True, "store_schema": False}


def read_batches(file: RawIOBase, name: str, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the batches of an open file of rows, one in memory at a time.

    Args:
        file: Can be read at any place.
        name: What messages call it.
        columns: Only these; None: all.

    Raises:
        IntegrityError: It is damaged. SchemaNewer: it was written by a later Tunery.
    """
    with _opened(file, name) as parquet, _faults(name):
        yield from parquet.iter_batches(4096, columns=columns)


def ids_at(file: RawIOBase, name: str, numbers: Sequence[int]) -> list[tuple[str, str]]:
    """Return id and split of the rows at these places of a file, in ascending order; no more of it is read.

    Raises: IntegrityError, SchemaNewer: as ``read_batches``.
    """
    found: list[tuple[str, str]] = []
    with _opened(file, name) as parquet, _faults(name):
        first = 0
        for group in range(parquet.num_row_groups):
            count = parquet.metadata.row_group(group).num_rows
            if wanted := [number - first for number in numbers if first <= number < first + count]:
                rows = parquet.read_row_group(group, columns=["row_id", "split"]).take(wanted)
                found += zip(rows["row_id"].to_pylist(), rows["split"].to_pylist(), strict=True)
            first += count
    return found


def rows_in(batch: pa.RecordBatch) -> Iterator[StoredRow]:
    """Yield the rows of a batch."""
    columns = (batch.column(name).to_pylist() for name in ("row_id", "split", "line", "row", "subjects"))
    for row_id, split, line, content, subjects in zip(*columns, strict=True):
        yield StoredRow(row_id, split, line, content, tuple(subjects))


@contextmanager
def _opened(file: RawIOBase, name: str) -> Iterator[pq.ParquetFile]:
    import pyarrow.parquet as pq

    with _faults(name):
        parquet = pq.ParquetFile(file, pre_buffer=True)
    written_by = int((parquet.metadata.metadata or {}).get(b"tunery.schema", b"0"))
    if written_by > SCHEMA:
        raise SchemaNewer(f"the dataset file {name} was written by a later Tunery; update this one to read it")
    with parquet:
        yield parquet


@contextmanager
def _faults(name: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise IntegrityError(f"the dataset file {name} is damaged: {error}; restore it from a backup") from error


def _subjects(group: pa.RecordBatch, first: int) -> bytes:
    import numpy as np

    lists = group["subjects"]
    entries, parents = lists.flatten(), lists.value_parent_indices().to_numpy() + first
    data = np.frombuffer(entries.buffers()[1] or b"", np.uint8).reshape(-1, 20)
    data = data[entries.offset : entries.offset + len(entries)]
    return records_of(data, parents)


def _groups(rows: Iterable[StoredRow] | Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the rows in groups that end with the row that makes them large enough."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    held: list[pa.RecordBatch] = []
    count = size = 0
    for batch in _to_batches(rows):
        while batch.num_rows:
            sizes = np.cumsum(pc.binary_length(batch["row"]).to_numpy(), dtype=np.int64) + size
            taken = min(int(np.searchsorted(sizes, _GROUP_BYTES)) + 1, _GROUP_ROWS - count, batch.num_rows)
            held.append(batch.slice(0, taken))
            batch, count, size = batch.slice(taken), count + taken, int(sizes[taken - 1])
            if count >= _GROUP_ROWS or size >= _GROUP_BYTES:
                yield pa.concat_batches(held)
                held, count, size = [], 0, 0
    if held:
        yield pa.concat_batches(held)


def _to_batches(rows: Iterable[StoredRow] | Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    held: list[StoredRow] = []
    size = 0
    for row in rows:
        if not isinstance(row, StoredRow):
            yield row
            continue
        held.append(row)
        size += len(row.content)
        if len(held) >= _BATCH_ROWS or size >= _GROUP_BYTES:
            yield _to_batch(held)
            held, size = [], 0
    if held:
        yield _to_batch(held)


def _to_batch(rows: list[StoredRow]) -> pa.RecordBatch:
    import pyarrow as pa

    schema = schema_of_rows()
    hashes = [row.row_hash or hashlib.sha256(row.content.encode()).digest() for row in rows]
    columns: list[list[Any]] = [[r.row_id for r in rows], [r.split for r in rows], [r.line for r in rows]]
    columns += [hashes, [r.content for r in rows], [r.subjects for r in rows]]
    return pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
