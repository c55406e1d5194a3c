"""The child's side of a query: DuckDB over Arrow, with everything shut off but reading the tables laid out for it."""

from __future__ import annotations

import json
import os
import re
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery.errors import Cancelled, Exhausted, InvalidInput, TooLarge
from tunery.kit.extras import require

if TYPE_CHECKING:
    import duckdb

__all__ = ["answer", "open_database", "read", "tables_of", "told", "view_of"]

_ANSWER_BYTES = 8 << 20
_BESIDE_BYTES = 3 << 30
"""Address space for the interpreter and the libraries, beside what the query may take."""
_MOST_COLUMNS = 1000
_TABLES = re.compile(r"\b(?:from|join)\s+([a-z0-9][a-z0-9._-]*(?::[a-z0-9._-]+)?)", re.I)
_OWN = ("row_id", "split", "line")
_NUMBERS = {"BIGINT", "UBIGINT", "DOUBLE"}
_HAS_LONG = "select 1 from {} where regexp_matches(row, '[^0-9.][0-9]{{16}}') limit 1"
_SHUT: dict[str, Any] = {
    "allow_community_extensions": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "enable_external_access": False,
    "python_enable_replacements": False,
    "temp_directory": "",
    "threads": 2,
}


def read(
    order: dict[str, Any], emit: Callable[[dict[str, Any]], None], cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """Answer a query: name its tables, wait until they lie there, run it."""
    import pyarrow.dataset

    os.environ.clear()
    bytes_ = order["memory_bytes"]
    for kind, most in (
        (resource.RLIMIT_AS, bytes_ + _BESIDE_BYTES),
        (resource.RLIMIT_FSIZE, 1 << 20),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    database = open_database(bytes_)
    with told(bytes_):
        tables = tables_of(database, order["sql"])
        emit({"tables": tables})
        paths = _laid_out(Path(order["tables"]), cancelled)
        with _watched(database, order["seconds"], cancelled):
            for number, table in enumerate(tables):
                database.register(f"tunery_{number}", pyarrow.dataset.dataset(paths[table], format="parquet"))
                database.execute(view_of(database, f"tunery_{number}", table))
            database.execute("set lock_configuration = true")
            return answer(database.execute(order["sql"]), order["limit"])


def open_database(memory_bytes: int) -> duckdb.DuckDBPyConnection:
    """Open a database in memory that can reach no file, no address and no extension."""
    config = {**_SHUT, "memory_limit": f"{memory_bytes // 1_000_000}MB"}
    database: duckdb.DuckDBPyConnection = require("duckdb", "data").connect(":memory:", config=config)
    return database


def tables_of(database: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    """Return the names of the tables that a SELECT reads. Raises: InvalidInput: it is none, or several."""
    import duckdb

    try:
        statements = database.extract_statements(sql)
    except duckdb.ParserException as fault:
        odd = [name for name in _TABLES.findall(sql) if not name.replace("_", "a").isalnum()]
        hint = f'\nquote what is no plain word: "{odd[0]}"' if odd else ""
        raise InvalidInput(f"the query was refused: {str(fault)[:1000]}{hint}") from fault
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise InvalidInput("a query is one SELECT, which reads and changes nothing")
    return sorted(database.get_table_names(sql))


def _laid_out(path: Path, cancelled: Callable[[], bool]) -> dict[str, list[str]]:
    while not path.exists():
        if cancelled():
            raise Cancelled
        time.sleep(0.005)
    found: dict[str, list[str]] = json.loads(path.read_bytes())
    return found


@contextmanager
def _watched(database: duckdb.DuckDBPyConnection, seconds: float, cancelled: Callable[[], bool]) -> Iterator[None]:
    """Interrupt the block's query when its time is over, or who asked has gone."""
    import duckdb

    ended, began = threading.Event(), time.monotonic()

    def watch() -> None:
        while not ended.wait(0.05):
            if cancelled() or time.monotonic() - began > seconds:
                database.interrupt()

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    except duckdb.InterruptException as interrupted:
        if cancelled():
            raise Cancelled from interrupted
        raise Exhausted(f"the query took longer than {seconds:g} s (TUNERY_QUERY_SECONDS)") from interrupted
    finally:
        ended.set()


@contextmanager
def told(memory_bytes: int) -> Iterator[None]:
    """Tell what DuckDB says of a query as an error of ours. Raises: Exhausted, InvalidInput."""
    import duckdb

    try:
        yield
    except (duckdb.OutOfMemoryException, MemoryError) as fault:
        limit = f"{memory_bytes / 1e9:.3g} GB (TUNERY_QUERY_MEMORY_BYTES)"
        raise Exhausted(f"the query needs more memory than {limit}; ask for less at once") from fault
    except duckdb.Error as fault:
        raise InvalidInput(f"the query was refused: {str(fault)[:1000]}") from fault


def view_of(database: duckdb.DuckDBPyConnection, source: str, name: str) -> str:
    """Return the statement that makes a table's view: its own columns typed by what all rows hold."""
    counted = f"select key, count(*) from (select unnest(json_keys(row)) as key from {source}) group by key"
    known = database.execute(f"{counted} order by count(*) desc, key limit {_MOST_COLUMNS}").fetchall()
    keys = [key for key, _ in known]
    pointers = ["/" + key.replace("~", "~0").replace("/", "~1") for key in keys]
    kinds: list[set[str]] = [set() for _ in keys]
    if keys:
        listed = ", ".join(map(_text, pointers))
        for (found,) in database.execute(f"select distinct json_type(row, [{listed}]) from {source}").fetchall():
            for kind, one in zip(kinds, found, strict=True):
                kind.add(one)
    numbers = [pointer for pointer, kind in zip(pointers, kinds, strict=True) if kind & _NUMBERS]
    widest = _widest(database, source, numbers)
    columns, taken = [*_OWN], {*_OWN}
    for key, pointer, kind in zip(keys, pointers, kinds, strict=True):
        as_what = _cast(pointer, kind - {None, "NULL"}, widest.get(pointer, 0))
        columns.append(f"{as_what} as {_quoted(_free(key, taken))}")
    return f"create view {_quoted(name)} as select {', '.join(columns)} from {source}"


def _widest(database: duckdb.DuckDBPyConnection, source: str, pointers: list[str]) -> dict[str, float]:
    """Return the largest whole number of columns, by amount, where one may be too large for 64 bits or a double."""
    if not pointers or not database.execute(_HAS_LONG.format(source)).fetchall():
        return {}
    found = []
    for pointer in pointers:
        text = f"json_extract_string(row, {_text(pointer)})"
        value = f"try_cast({text} as hugeint)"
        whole = f"filter (where regexp_full_match({text}, '-?[0-9]+'))"
        found += [f"min({value}) {whole}", f"max({value}) {whole}", f"bool_or({value} is null) {whole}"]
    answers = iter(database.execute(f"select {', '.join(found)} from {source}").fetchone() or ())
    return {
        pointer: float("inf") if beyond else max(-(least or 0), most or 0)
        for pointer, least, most, beyond in zip(pointers, answers, answers, answers, strict=True)
    }


def _cast(pointer: str, kinds: set[str], widest: float) -> str:
    """Return a column as the type that holds all of its values exactly; as JSON where none does."""
    where = _text(pointer)
    if kinds <= {"VARCHAR"}:
        return f"json_extract_string(row, {where})"
    if kinds == {"BOOLEAN"}:
        return f"json_extract(row, {where})::boolean"
    if kinds <= {"BIGINT", "UBIGINT"}:
        return f"json_extract(row, {where})::{'bigint' if widest < 1 << 63 else 'hugeint'}"
    if kinds <= _NUMBERS and widest <= 1 << 53:
        return f"json_extract(row, {where})::double"
    return f"json_extract(row, {where})"


def _free(key: str, taken: set[str]) -> str:
    """Return a column's name; DuckDB minds no case, so one that is taken gets a number."""
    name, number = key, 0
    while name.casefold() in taken or not name:
        number += 1
        name = f"{key}_{number}"
    taken.add(name.casefold())
    return name


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def answer(found: duckdb.DuckDBPyConnection, limit: int) -> dict[str, Any]:
    """Return the columns and the first rows of what was found. Raises: TooLarge: one row is."""
    kinds = [str(column[1]) for column in found.description or []]
    columns = [{"name": column[0], "type": kind} for column, kind in zip(found.description or [], kinds, strict=True)]
    rows: list[list[Any]] = []
    size = 0
    while (row := found.fetchone()) is not None:
        values = [json.loads(v) if k == "JSON" and v else _plain(v) for v, k in zip(row, kinds, strict=True)]
        size += len(json.dumps(values))
        if size > _ANSWER_BYTES and not rows:
            raise TooLarge(f"one row of the answer is longer than {_ANSWER_BYTES >> 20} MiB; select less of it")
        if len(rows) == limit or size > _ANSWER_BYTES:
            return {"columns": columns, "rows": rows, "truncated": True}
        rows.append(values)
    return {"columns": columns, "rows": rows, "truncated": False}


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if abs(value) < float("inf") else str(value)
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case bytes():
            return value.hex()
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case datetime() | date() | clock_time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
    return str(value)
