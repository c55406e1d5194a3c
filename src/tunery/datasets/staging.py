"""A scratch file between the two passes of an import: sanitised rows in order, read back without holding them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery.datasets.identifiers import ENTRY_BYTES
from tunery.datasets.packed import PackedRow, packed
from tunery.datasets.rows import Row
from tunery.datasets.shapes import Shape
from tunery.datasets.versions.row_files import StoredRow

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Staged", "stage_rows"]

_BATCH_ROWS = 1024
_COLUMNS = ("row_id", "line", "content", "input", "row_hash", "subjects")


class Staged:
    """Rows in a staging file."""

    def __init__(self, path: Path, count: int) -> None:
        self._path = path
        self._count = count

    def __len__(self) -> int:
        return self._count

    @property
    def row_ids(self) -> list[str]:
        """Their ids, in order."""
        return [row_id for batch in self._batches() for row_id in batch["row_id"].to_pylist()]

    @property
    def inputs(self) -> Sequence[str]:
        """What a model is asked in each; read from the disk when asked for."""
        return _Inputs(self._path)

    def stored(self, splits: Iterable[str]) -> Iterator[StoredRow]:
        """Yield the rows as they are kept, each with its split."""
        split = iter(splits)
        for batch in self._batches():
            columns = (batch[name].to_pylist() for name in ("row_id", "line", "content", "row_hash", "subjects"))
            for row_id, line, content, row_hash, subjects in zip(*columns, strict=True):
                yield StoredRow(row_id, next(split), line, content, _entries(subjects), row_hash)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        with pa.OSFile(str(self._path)) as file, pa.ipc.open_stream(file) as reader:
            yield from reader


class _Inputs(Sequence[str]):
    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
            self._column = reader.read_all()["input"]

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, index: Any) -> Any:
        return self._column[index].as_py()


def stage_rows(path: Path, rows: Iterable[Row], shape: Shape) -> Staged:
    """Write rows to a new file and return them as it holds them."""
    import pyarrow as pa

    types = {"line": pa.int64(), "row_hash": pa.binary(32)}
    schema = pa.schema([(name, types.get(name, pa.large_string())) for name in _COLUMNS])
    count = 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        held: list[tuple[Any, ...]] = []

        def write() -> None:
            writer.write_batch(pa.record_batch([list(column) for column in zip(*held, strict=True)], schema=schema))

        for row in rows:
            found = row if isinstance(row, PackedRow) else packed(row, shape)
            held.append((found.row_id, found.line, found.content, found.asked, found.row_hash, found.subjects))
            count += 1
            if len(held) == _BATCH_ROWS:
                write()
                held.clear()
        if held:
            write()
    return Staged(path, count)


def _entries(hexed: str) -> tuple[bytes, ...]:
    data = bytes.fromhex(hexed)
    return tuple(data[start : start + ENTRY_BYTES] for start in range(0, len(data), ENTRY_BYTES))
