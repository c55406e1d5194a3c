"""Every importer, built in or a stranger's, keeps the port's promises."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunery.datasets.formats import IMPORTERS, Malformed, Record
from tunery.datasets.formats.lines import EXCERPT
from tunery.errors import InvalidInput
from tunery.kit.digests import canonical_json

LIMIT = 5000
HELD_WHOLE = {"json", "markdown"}
"""Formats of which a file is held whole, up to a stated limit."""

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Format:
    """How to write rows in a format, and which rows it can hold; a new importer adds its line below.

    Attributes:
        write: Makes a file of rows.
        row: Draws a row that the format can hold.
        make: Makes a row that tells itself apart by a number and holds a text of one line.
    """

    write: Callable[[Rows], bytes]
    row: st.SearchStrategy[dict[str, Any]]
    make: Callable[[int, str], dict[str, Any]]


def _separated(mark: str) -> Callable[[Rows], bytes]:
    def write(rows: Rows) -> bytes:
        records = [("a", "b"), *((row["a"], row["b"]) for row in rows)]
        cells = [[f'"{value.replace(chr(34), chr(34) * 2)}"' for value in record] for record in records]
        return "".join(mark.join(record) + "\n" for record in cells).encode()

    return write


cell = st.text(st.characters(codec="utf-8"), max_size=20)
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1, max_size=20)
paragraph = st.lists(words.filter(str.strip), min_size=1, max_size=3).map("\n".join)


title = st.text("aZé日1 ", min_size=1, max_size=20).map(str.strip).filter(bool)


def section(heading: str, text: str) -> dict[str, Any]:
    return {"text": f"# {heading}\n\n{text}", "headings": [heading]}


def _columns(write: Callable[[Rows], bytes]) -> Format:
    return Format(write, st.fixed_dictionaries({"a": cell, "b": cell}), lambda n, text: {"a": str(n), "b": text})


def _parquet(rows: Rows) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


FORMATS: dict[str, Format] = {
    "jsonl": _columns(lambda rows: b"".join(json.dumps(row).encode() + b"\n" for row in rows)),
    "json": _columns(lambda rows: json.dumps(rows, indent=1).encode()),
    "csv": _columns(_separated(",")),
    "tsv": _columns(_separated("\t")),
    "parquet": _columns(_parquet),
    "markdown": Format(
        lambda rows: "\n\n".join(row["text"] for row in rows).encode(),
        st.lists(title, min_size=2, max_size=2).map(lambda said: section(said[0], said[1])),
        lambda n, text: section(str(n), text),
    ),
    "text": Format(
        lambda rows: "\n\n".join(row["text"] for row in rows).encode(),
        st.fixed_dictionaries({"text": paragraph}),
        lambda n, text: {"text": f"{n} {text}"},
    ),
}

importers = pytest.mark.parametrize("name", IMPORTERS.names())
quick_importers = pytest.mark.parametrize("name", sorted(set(IMPORTERS.names()) - {"parquet"}))
"""Those that start no process for each file; ``tests/datasets/test_parquet.py`` damages files of the other."""
unhurried = settings(suppress_health_check=list(HealthCheck))


def read(name: str, data: bytes) -> list[Record | Malformed]:
    return list(IMPORTERS.get(name)(io.BytesIO(data), LIMIT))


def test_the_promised_importers_are_there_and_each_has_a_writer_here() -> None:
    """DAT-01."""
    assert set(IMPORTERS.names()) >= {"jsonl", "json", "csv", "tsv", "parquet", "markdown", "text"}
    assert set(IMPORTERS.names()) == set(FORMATS)


@quick_importers
@unhurried
@given(data=st.data())
def test_what_was_written_is_read_in_order_to_the_letter(name: str, data: st.DataObject) -> None:
    """DAT-01."""
    rows = data.draw(st.lists(FORMATS[name].row, min_size=1, max_size=8))
    found = read(name, FORMATS[name].write(rows))
    assert [item.values for item in found if isinstance(item, Record)] == rows
    assert len(found) == len(rows)


@quick_importers
@unhurried
@given(data=st.binary(max_size=400))
def test_whatever_the_bytes_are_there_is_an_answer_and_never_a_crash(name: str, data: bytes) -> None:
    try:
        found = read(name, data)
    except InvalidInput:
        return
    for item in found:
        assert item.line >= 1
        if isinstance(item, Malformed):
            assert item.reason
            assert len(item.text) <= EXCERPT
            item.text.encode()
        else:
            canonical_json(item.values)


@quick_importers
@unhurried
@given(data=st.data(), place=st.integers(0, 10_000), junk=st.binary(min_size=1, max_size=6))
def test_a_damaged_file_is_reported_or_still_rows(name: str, data: st.DataObject, place: int, junk: bytes) -> None:
    good = FORMATS[name].write(data.draw(st.lists(FORMATS[name].row, min_size=1, max_size=4)))
    place %= len(good)
    test_whatever_the_bytes_are_there_is_an_answer_and_never_a_crash.hypothesis.inner_test(  # type: ignore[attr-defined]
        name, good[:place] + junk + good[place:]
    )


@importers
def test_lines_are_counted_from_one_and_rise(name: str) -> None:
    found = read(name, FORMATS[name].write([FORMATS[name].make(i, "x\ny") for i in range(50)]))
    lines = [item.line for item in found]
    assert len(lines) == 50
    assert lines == sorted(set(lines))
    assert lines[0] >= 1


@importers
def test_an_overlong_row_is_malformed_and_the_next_one_is_read(name: str) -> None:
    make = FORMATS[name].make
    found = read(name, FORMATS[name].write([make(1, "x"), make(2, "y" * 2 * LIMIT), make(3, "z")]))
    assert [type(item) for item in found] == [Record, Malformed, Record]


@importers
def test_dat_12_no_more_than_a_row_is_held_in_memory(name: str) -> None:
    if name in HELD_WHOLE:
        return
    data = FORMATS[name].write([FORMATS[name].make(i, "x" * 1000) for i in range(20_000)])
    importer = IMPORTERS.get(name)(io.BytesIO(data), LIMIT)
    tracemalloc.start()
    assert sum(1 for _ in importer) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000  # of 20 MB
