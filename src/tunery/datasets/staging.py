"""A scratch file between the two passes of an import: sanitised rows in order, read back without holding them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tunery.datasets.identifiers import ENTRY_BYTES
from tunery.datasets.rows import Row
from tunery.datasets.shapes import Shape, input_of
from tunery.datasets.versions.row_files import StoredRow
from tunery.kit.digests import canonical_json

__all__ = ["Staged", "stage_rows"]

_BATCH_ROWS = 1024
_COLUMNS = ("row_id", "line", "content", "input", "subjects")


class Staged:
    """Rows in a staging file.

    Attributes:
        row_ids: Their ids, in order.
        inputs: What a model is asked in each.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        with pa.memory_map(str(path)) as source:
            self._table = pa.ipc.open_file(source).read_all()
        self.row_ids: list[str] = self._table["row_id"].to_pylist()
        self.inputs: list[str] = self._table["input"].to_pylist()

    def stored(self, splits: Sequence[str]) -> Iterator[StoredRow]:
        """Yield the rows as they are kept, each with its split."""
        position = 0
        for batch in self._table.select(["row_id", "line", "content", "subjects"]).to_batches():
            for row in batch.to_pylist():
                entries = _entries(row["subjects"])
                yield StoredRow(row["row_id"], splits[position], row["line"], row["content"], entries)
                position += 1


def stage_rows(path: Path, rows: Iterable[Row], shape: Shape) -> Staged:
    """Write rows to a new file and return them as it holds them."""
    import pyarrow as pa

    schema = pa.schema([(name, pa.int64() if name == "line" else pa.large_string()) for name in _COLUMNS])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        held: list[tuple[str, int, str, str, str]] = []
        for row in rows:
            content, asked = canonical_json(row.values).decode(), input_of(shape, row.values)
            held.append((row.row_id, row.line, content, asked, row.subjects))
            if len(held) == _BATCH_ROWS:
                writer.write_batch(pa.record_batch([list(column) for column in zip(*held, strict=True)], schema=schema))
                held = []
        if held:
            writer.write_batch(pa.record_batch([list(column) for column in zip(*held, strict=True)], schema=schema))
    return Staged(path)


def _entries(hexed: str) -> tuple[bytes, ...]:
    data = bytes.fromhex(hexed)
    return tuple(data[start : start + ENTRY_BYTES] for start in range(0, len(data), ENTRY_BYTES))
