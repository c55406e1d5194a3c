"""Rows as a file for other programs: JSON lines, Parquet, and CSV in which a spreadsheet finds no formula."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

from tunery.errors import InvalidInput
from tunery.kit.digests import canonical_json

__all__ = ["EXPORTERS", "JSON_FIELD", "ExportFormat", "Rows", "escaped_cell", "export_rows"]

ExportFormat: TypeAlias = Literal["jsonl", "csv", "parquet"]
Rows: TypeAlias = Callable[[], Iterable[Mapping[str, Any]]]
"""Reads plain JSON objects in order, each time from the first."""

JSON_FIELD = {b"tunery": b"json"}
"""Metadata of a Parquet column that holds each value as JSON text."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""First characters by which spreadsheets tell a formula, full-width forms included. Source: OWASP, CSV Injection."""
_BATCH_ROWS = 10_000
_BATCH_BYTES = 1 << 24
_MOST_COLUMNS = 10_000


def export_rows(rows: Rows, path: Path, form: ExportFormat, columns: list[str] | None = None) -> int:
    """Write rows to a new file and return how many there are; the file appears whole or not at all.

    Args:
        rows: Read twice for a table, whose columns and their kinds are those of all rows; one batch is held at a time.
        path: The file.
        form: ``jsonl``, ``csv`` or ``parquet``. Parquet has columns of one kind as that kind; those of lists, objects
            or several kinds as JSON text, which their metadata says (``JSON_FIELD``).
        columns: Only these columns, in this order; none: all, in the order in which they come.

    Raises:
        InvalidInput: There is no row to tell the columns by, or there are more columns than a table can have.
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
    for row in rows():
        kept = row if columns is None else {name: row[name] for name in columns if name in row}
        file.write(canonical_json(kept) + b"\n")
        count += 1
    return count


def _write_csv(rows: Rows, file: BinaryIO, columns: list[str] | None) -> int:
    known = columns or [*_kinds(rows, None)]
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([escaped_cell(name) for name in known])
    count = 0
    for row in rows():
        writer.writerow([escaped_cell(row.get(name)) for name in known])
        count += 1
    text.detach()
    return count


def _write_parquet(rows: Rows, file: BinaryIO, columns: list[str] | None) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = _kinds(rows, columns)
    types = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    schema = pa.schema(
        [
            pa.field(name, types.get(kind, pa.large_string()), metadata=JSON_FIELD if kind is object else None)
            for name, kind in kinds.items()
        ]
    )
    count = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for held in _batches(rows(), kinds):
            writer.write_batch(pa.record_batch(held, schema=schema))
            count += len(held[0])
    return count


def _batches(rows: Iterable[Mapping[str, Any]], kinds: dict[str, type]) -> Iterator[list[list[Any]]]:
    """Yield the values of some rows, by column."""
    held: list[list[Any]] = [[] for _ in kinds]
    size = 0
    for row in rows:
        for values, (name, kind) in zip(held, kinds.items(), strict=True):
            value = row.get(name)
            if kind is object and value is not None:
                value = canonical_json(value).decode()
            values.append(value)
            size += len(value) if isinstance(value, str) else 8
        if len(held[0]) == _BATCH_ROWS or size >= _BATCH_BYTES:
            yield held
            held, size = [[] for _ in kinds], 0
    if held[0]:
        yield held


def _kinds(rows: Rows, columns: list[str] | None) -> dict[str, type]:
    """Return the kind of each column: bool, int, float, str, or object where its values need JSON."""
    found: dict[str, set[type]] = {name: set() for name in columns or ()}
    for row in rows():
        for name, value in row.items():
            kinds = found.get(name)
            if kinds is None:
                if columns is not None:
                    continue
                kinds = found[name] = set()
                if len(found) > _MOST_COLUMNS:
                    raise InvalidInput(f"the rows have more than {_MOST_COLUMNS:,} columns; name those to export")
            kinds.add(_kind_of_number(value) if type(value) is int else type(value))
    if not found:
        raise InvalidInput("there is no row to tell the columns of the table by; name them")
    return {name: _kind(kinds) for name, kinds in found.items()}


class _Long(int):
    """Stands for whole numbers that a column of floats would not hold exactly."""


def _kind_of_number(value: int) -> type:
    if -(2**53) <= value <= 2**53:
        return int
    return _Long if -(2**63) <= value < 2**63 else object


def _kind(kinds: set[type]) -> type:
    said = kinds - {type(None)}
    if said == {int, float}:
        return float
    if said and said <= {int, _Long}:
        return int
    (kind,) = said if len(said) == 1 else (object if said else str,)
    return kind if kind in (bool, int, float, str) else object


EXPORTERS: dict[ExportFormat, Callable[[Rows, BinaryIO, list[str] | None], int]] = {
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "parquet": _write_parquet,
}
"""Writers by format: ``writer(rows, file, columns)`` returns the number of rows."""
