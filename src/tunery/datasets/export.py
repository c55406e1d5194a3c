"""Rows as a file for other programs: JSON lines, Parquet, and CSV in which a spreadsheet finds no formula."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

from tunery.errors import FormatInvalid, InvalidInput
from tunery.kit.digests import canonical_json

__all__ = ["EXPORTERS", "ExportFormat", "escaped_cell", "export_rows"]

ExportFormat: TypeAlias = Literal["jsonl", "csv", "parquet"]
Rows: TypeAlias = Iterable[Mapping[str, Any]]

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""First characters by which spreadsheets tell a formula, full-width forms included. Source: OWASP, CSV Injection."""
_BATCH_ROWS = 1000


def export_rows(rows: Rows, path: Path, form: ExportFormat, columns: list[str] | None = None) -> int:
    """Write rows to a new file and return how many there are; the file appears whole or not at all.

    Args:
        rows: Plain JSON objects, in order; read once, held one batch at a time.
        path: The file.
        form: ``jsonl``, ``csv`` or ``parquet``.
        columns: The columns of a table, in order; none: those of the first 1,000 rows. JSON lines need none.

    Raises:
        InvalidInput: A row has a column that the table has not: name the columns.
    """
    staging = path.with_name(f".{path.name}.new")
    try:
        with staging.open("wb") as file:
            count = EXPORTERS[form](rows, file, columns)
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)
    return count


def escaped_cell(value: Any) -> str:
    """Return a value as a cell of CSV: text, JSON for lists and objects, nothing for null.

    A text that a spreadsheet would take for a formula gets an apostrophe before it, and so does one that begins with
    apostrophes before such a text, so that taking one away always gives the text back. Numbers stay numbers.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return f"'{value}" if value.lstrip(" '").startswith(_FORMULA) else value


def _write_jsonl(rows: Rows, file: BinaryIO, columns: list[str] | None) -> int:
    count = 0
    for row in rows:
        file.write(canonical_json(row if columns is None else _taken(row, columns)) + b"\n")
        count += 1
    return count


def _write_csv(rows: Rows, file: BinaryIO, columns: list[str] | None) -> int:
    known, rows = _columns(rows, columns)
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([escaped_cell(name) for name in known])
    count = 0
    for row in rows:
        taken = _taken(row, known)
        writer.writerow([escaped_cell(taken.get(name)) for name in known])
        count += 1
    text.detach()
    return count


def _write_parquet(rows: Rows, file: BinaryIO, columns: list[str] | None) -> int:
    """Write columns of one kind as that kind; lists, objects and mixed values as JSON text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    known, rows = _columns(rows, columns)
    first = list(islice(rows, _BATCH_ROWS))
    kinds = {name: _kind([row.get(name) for row in first]) for name in known}
    types = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.large_string()}
    schema = pa.schema([(name, types[kind]) for name, kind in kinds.items()])
    count = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in _batches(chain(first, rows)):
            taken = [_taken(row, known) for row in batch]
            arrays = [
                pa.array([_cast(row.get(name), kinds[name], name) for row in taken], schema.field(name).type)
                for name in known
            ]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            count += len(batch)
    return count


def _batches(rows: Iterator[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    while batch := list(islice(rows, _BATCH_ROWS)):
        yield batch


def _columns(rows: Rows, columns: list[str] | None) -> tuple[list[str], Iterator[Mapping[str, Any]]]:
    rows = iter(rows)
    first = list(islice(rows, _BATCH_ROWS)) if columns is None else []
    known = list(dict.fromkeys(name for row in first for name in row)) if columns is None else columns
    if not known:
        raise InvalidInput("there is no row to tell the columns of the table by; name them")
    return known, chain(first, rows)


def _taken(row: Mapping[str, Any], columns: list[str]) -> Mapping[str, Any]:
    if len(row) <= len(columns) and row.keys() <= set(columns):
        return row
    unknown = next(name for name in row if name not in columns)
    raise InvalidInput(
        f"a row has the column {unknown[:80]!r}, which the first rows have not; name the columns to export"
    )


def _kind(values: list[Any]) -> type:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return float
    (kind,) = kinds if len(kinds) == 1 else (str,)
    if kind is int and any(value is not None and not -(2**63) <= value < 2**63 for value in values):
        return str
    return kind if kind in (bool, int, float) else str


def _cast(value: Any, kind: type, name: str) -> Any:
    if value is None:
        return None
    if kind is str:
        return value if isinstance(value, str) else canonical_json(value).decode()
    fits = type(value) is kind or (kind is float and type(value) is int)
    if not fits or (kind is int and not -(2**63) <= value < 2**63):
        raise FormatInvalid(
            f"the column {name[:80]!r} holds {kind.__name__} in the first rows, another kind later; export jsonl"
        )
    return kind(value)


EXPORTERS: dict[ExportFormat, Callable[[Rows, BinaryIO, list[str] | None], int]] = {
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "parquet": _write_parquet,
}
"""Writers by format: ``writer(rows, file, columns)`` returns the number of rows."""
