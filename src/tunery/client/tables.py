"""Tables of a program as files to upload: written a batch at a time, so that none needs to fit into memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tunery.errors import InvalidInput

__all__ = ["write_table"]


def write_table(table: Any, folder: Path, name: str) -> Path:
    """Write an Arrow stream as Parquet, or rows as JSON lines, and return the new file.

    Args:
        table: A ``pyarrow.Table``, a data frame, or whatever else offers an Arrow stream; or rows, each a mapping.
        folder: Where the file is made.
        name: Its name, without ending.

    Raises: InvalidInput: it is neither, or a value is none that JSON has (names row and column).
    """
    if hasattr(table, "__arrow_c_stream__"):
        return _write_parquet(table, folder / f"{name}.parquet")
    if isinstance(table, Mapping | str) or not isinstance(table, Iterable):
        kind = type(table).__name__
        raise InvalidInput(f"a table is one of Arrow, a data frame, or rows that are each a dict; this is a {kind}")
    return _write_lines(table, folder / f"{name}.jsonl")


def _write_parquet(table: Any, path: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = pa.RecordBatchReader.from_stream(table)
    with pq.ParquetWriter(path, stream.schema, compression="zstd") as writer:
        for batch in stream:
            writer.write_batch(batch)
    return path


def _write_lines(rows: Iterable[Any], path: Path) -> Path:
    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_plain)
    with path.open("w", encoding="utf-8", errors="surrogatepass") as file:
        for number, row in enumerate(rows, start=1):
            if not isinstance(row, Mapping):
                raise InvalidInput(f"row {number} is a {type(row).__name__}; each row is a dict of columns")
            try:
                file.write(encoder.encode(dict(row)) + "\n")
            except (TypeError, ValueError) as fault:
                raise InvalidInput(f"row {number}{_column(row, encoder)} cannot be written as JSON: {fault}") from fault
    return path


def _column(row: Mapping[Any, Any], encoder: json.JSONEncoder) -> str:
    for name, value in row.items():
        try:
            encoder.encode({name: value})
        except (TypeError, ValueError):
            return f", column {name!r}"
    return ""


def _plain(value: Any) -> Any:
    """Return a value as an import of Parquet has it: times in ISO 8601, decimals as text, arrays as lists."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, bytes):
        return value.decode()
    return str(value)
