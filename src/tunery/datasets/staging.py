"""A scratch file between the two passes of an import: sanitised rows in order, read back without holding them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery.datasets.identifiers import ENTRY_BYTES
from tunery.datasets.packed import Chunk, PackedRows, packed
from tunery.datasets.shapes import Shape, input_of
from tunery.datasets.splits import Split
from tunery.datasets.versions.row_files import StoredRow, schema_of_rows

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Staged", "stage_rows"]


class Staged:
    """Rows in a staging file."""

    def __init__(self, path: Path, count: int, shape: Shape) -> None:
        self._path = path
        self._count = count
        self._shape: Shape = shape

    def __len__(self) -> int:
        return self._count

    @property
    def row_ids(self) -> list[str]:
        """Their ids, in order."""
        return [row_id for batch in self._batches() for row_id in batch["row_id"].to_pylist()]

    @property
    def splits(self) -> list[Split]:
        """The split of each that a column of the file said, in order."""
        return [split for batch in self._batches() for split in batch["split"].to_pylist()]

    @property
    def inputs(self) -> Sequence[str]:
        """What a model is asked in each; read from the disk when asked for."""
        return _Inputs(self._path, self._shape)

    def batches(self, splits: Iterable[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows as a file of rows has them, each with its split, some at a time."""
        import pyarrow as pa

        schema, split = schema_of_rows(), iter(splits)
        for batch in self._batches():
            columns = {name: batch[name] for name in ("row_id", "line", "row_hash")}
            columns |= {"row": batch["content"], "subjects": _as_lists(batch["entries"])}
            columns["split"] = pa.array(islice(split, batch.num_rows), pa.string(), size=batch.num_rows)
            yield pa.record_batch([columns[name] for name in schema.names], schema=schema)

    def by_id(self, splits: Iterable[str]) -> Mapping[str, StoredRow]:
        """Return the rows by their ids, in order, each with its split; read from the disk when asked for."""
        return _ById(self._path, self.row_ids, splits)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        with pa.OSFile(str(self._path)) as file, pa.ipc.open_stream(file) as reader:
            yield from reader


def _mapped(path: Path) -> pa.Table:
    """Return all rows of a staging file; what is read of them comes from the disk."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
        return reader.read_all()


class _ById(Mapping[str, StoredRow]):
    def __init__(self, path: Path, row_ids: Iterable[str], splits: Iterable[str]) -> None:
        self._table = _mapped(path)
        self._places = {row_id: place for place, row_id in enumerate(row_ids)}
        self._splits = [*islice(splits, len(self._table))]

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __contains__(self, row_id: object) -> bool:
        return row_id in self._places

    def __getitem__(self, row_id: str) -> StoredRow:
        place = self._places[row_id]
        names = ("line", "content", "entries", "row_hash")
        line, content, entries, row_hash = (self._table[name][place].as_py() for name in names)
        subjects = tuple(entries[start : start + ENTRY_BYTES] for start in range(0, len(entries), ENTRY_BYTES))
        return StoredRow(row_id, self._splits[place], line, content, subjects, row_hash)


class _Inputs(Sequence[str]):
    def __init__(self, path: Path, shape: Shape) -> None:
        self._column = _mapped(path)["content"]
        self._shape: Shape = shape

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, index: Any) -> Any:
        return input_of(self._shape, json.loads(self._column[index].as_py()))


def stage_rows(path: Path, chunks: Iterable[Chunk], shape: Shape) -> Staged:
    """Write rows to a new file and return them as it holds them."""
    import pyarrow as pa

    count = 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, packed([], shape).batch.schema) as writer:
        for chunk in chunks:
            rows = chunk if isinstance(chunk, PackedRows) else packed(chunk, shape)
            if len(rows):
                writer.write_batch(rows.batch)
            count += len(rows)
    return Staged(path, count, shape)


def _as_lists(entries: pa.Array) -> pa.Array:
    """Return entries that stand one behind the other as lists of them."""
    import numpy as np
    import pyarrow as pa

    _, bounds, data = entries.buffers()
    ends = np.frombuffer(bounds, np.int32)[entries.offset : entries.offset + len(entries) + 1] // ENTRY_BYTES
    kind = pa.binary(ENTRY_BYTES)
    values = pa.Array.from_buffers(kind, int(ends[-1]), [None, data])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), values)
