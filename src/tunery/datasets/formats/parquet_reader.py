"""Rows of a Parquet file as JSON lines: a program of its own, for a reader of hostile files needs limits of its own.

A Parquet file of 800 bytes can unpack to gigabytes (one long value, many times by its number in a dictionary), and one
of 30 kB to a page of 1 GB. So this runs in a process whose memory is limited, that can write no file, and that knows no
secret. Standard input is the file. Each line of the output is a letter and JSON: ``R`` a row, ``M`` reason and text of
what is none, ``E`` why the rest cannot be read, ``D`` the end.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

_BATCH_BYTES = 1 << 24
_BATCH_ROWS = 512
_ROWS_A_BYTE = 1000
_MOST_TIMES = 200
_ALWAYS_BYTES = 1 << 26
_EXCERPT = 1000


class Broken(Exception):
    """The rest of the file cannot be read."""


def lines_of(file: BinaryIO, max_row_bytes: int) -> Iterator[str]:
    """Yield the lines for a file, without line ends."""
    import pyarrow as pa

    try:
        for row in _rows(file):
            if isinstance(row, str):
                yield "M" + json.dumps([row, ""])
            else:
                yield _line(row, max_row_bytes)
        yield "D"
    except (pa.ArrowException, Broken, OSError, ValueError, KeyError) as error:
        yield "E" + json.dumps(str(error)[:500])
    except MemoryError:
        yield "E" + json.dumps("it needs more memory to be unpacked than rows should")


def _rows(file: BinaryIO) -> Iterator[dict[str, Any] | str]:
    import pyarrow.parquet as pq

    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    source = pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
    _check(source, size)
    for group in range(source.num_row_groups):
        facts = source.metadata.row_group(group)
        of_a_row = max(1, facts.total_byte_size) // max(1, facts.num_rows) + 1
        rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES // of_a_row))
        for batch in source.iter_batches(batch_size=rows, row_groups=[group], use_threads=False):
            yield from _of_batch(batch)


def _check(source: Any, size: int) -> None:
    facts = source.metadata
    names = source.schema_arrow.names
    if twice := [name for name in names if names.count(name) > 1]:
        raise Broken(f"two columns are named {twice[0]!r}; rename one of them")
    if facts.num_rows > _ROWS_A_BYTE * size:
        raise Broken(f"it claims {facts.num_rows} rows in {size} bytes")
    for group in range(facts.num_row_groups):
        part = facts.row_group(group)
        if outside := next((path for c in range(part.num_columns) if (path := part.column(c).file_path)), ""):
            raise Broken(f"its columns lie in another file ({outside[:100]}); name that one")


def _of_batch(batch: Any) -> Iterator[dict[str, Any] | str]:
    import pyarrow as pa

    try:
        columns = [_with_nanoseconds(column) for column in batch.columns]
        yield from pa.record_batch(columns, names=batch.schema.names).to_pylist(maps_as_pydicts="strict")
    except (ValueError, ArithmeticError, KeyError, TypeError, pa.ArrowException):
        for number in range(batch.num_rows):
            yield _of_one(batch.slice(number, 1))


def _of_one(batch: Any) -> dict[str, Any] | str:
    """Return the row of a batch of one, or which column of it cannot be read, and why."""
    import pyarrow as pa

    row = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            (row[name],) = _with_nanoseconds(column).to_pylist(maps_as_pydicts="strict")
        except UnicodeDecodeError:
            return f"column {name[:100]!r}: a text that is not UTF-8"
        except (ValueError, ArithmeticError, KeyError, TypeError, pa.ArrowException) as error:
            return f"column {name[:100]!r}: a value that cannot be read ({type(error).__name__})"
    return row


def _with_nanoseconds(column: Any) -> Any:
    """Return a column of times in nanoseconds as text; Python's own end at microseconds."""
    import pyarrow as pa

    kind = column.type
    if not (pa.types.is_timestamp(kind) or pa.types.is_time64(kind)) or kind.unit != "ns":
        return column
    of_micros = pa.timestamp("us", kind.tz) if pa.types.is_timestamp(kind) else pa.time64("us")
    whole = column.cast(pa.int64()).to_pylist()
    micros = pa.array([each if each is None else each // 1000 for each in whole], of_micros).to_pylist()
    return pa.array([_written(*each) for each in zip(micros, whole, strict=True)], pa.string())


def _written(moment: datetime | time | None, nanoseconds: int | None) -> str | None:
    if moment is None or nanoseconds is None:
        return None
    if not nanoseconds % 1000:
        return moment.isoformat()
    text = moment.isoformat(timespec="microseconds")
    point = text.index(".") + 7
    return f"{text[:point]}{nanoseconds % 1000:03}{text[point:]}"


def _line(row: dict[str, Any], max_row_bytes: int) -> str:
    try:
        text = _ENCODER.encode(row)
    except (ValueError, TypeError, RecursionError):
        return "M" + json.dumps([_fault(row), ascii(row)[:_EXCERPT]])
    if len(text) > max_row_bytes or len(text.encode("utf-8", "replace")) > max_row_bytes:
        return "M" + json.dumps([f"longer than {max_row_bytes} bytes", text[:_EXCERPT]])
    return "R" + text


def _fault(row: dict[str, Any]) -> str:
    """Return which column holds what JSON does not have, and why."""
    for name, value in row.items():
        try:
            _ENCODER.encode({name: value})
        except (ValueError, TypeError, RecursionError) as error:
            why = "NaN or infinity, which JSON does not have; make it null" if "float" in str(error) else str(error)
            return f"column {name[:100]!r}: {why[:200]}"
    return "a value in it is none that JSON has"


def _plain(value: object) -> Any:
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"{len(value)} bytes that are no text") from None
    return str(value)


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)


def main() -> None:
    """Read standard input, write lines to standard output. Arguments: bytes of the longest row, bytes of memory."""
    import pyarrow as pa
    import pyarrow.parquet

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    _limit(int(sys.argv[2]))
    output = sys.stdout.buffer
    written, size = 0, os.fstat(0).st_size
    with open(0, "rb", closefd=False) as file, suppress(BrokenPipeError):
        for line in lines_of(file, int(sys.argv[1])):
            data = line.encode("utf-8", "replace") + b"\n"
            written += len(data)
            if written > _ALWAYS_BYTES + _MOST_TIMES * size:
                data = b"E" + json.dumps(f"it unpacks to more than {_MOST_TIMES} times its size").encode() + b"\n"
                output.write(data)
                break
            output.write(data)
        output.flush()
    os._exit(0)


def _limit(memory_bytes: int) -> None:
    import resource

    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0}
    held = Path("/proc/self/statm")
    if held.exists():  # elsewhere the address space cannot be limited this way
        limits[resource.RLIMIT_AS] = int(held.read_text().split()[0]) * resource.getpagesize() + memory_bytes
    for limit, amount in limits.items():
        resource.setrlimit(limit, (amount, amount))


if __name__ == "__main__":
    main()
