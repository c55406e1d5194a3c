"""Every importer, built in or a stranger's, keeps the port's promises."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunery.datasets.formats import IMPORTERS, Malformed, Record
from tunery.datasets.formats.lines import EXCERPT
from tunery.errors import InvalidInput
from tunery.kit.digests import canonical_json

LIMIT = 5000

Writer = Callable[[list[dict[str, str]]], bytes]


def _csv(rows: list[dict[str, str]]) -> bytes:
    def quoted(value: str) -> str:
        return '"' + value.replace('"', '""') + '"'

    records = [("a", "b"), *((row["a"], row["b"]) for row in rows)]
    return "".join(",".join(map(quoted, record)) + "\n" for record in records).encode()


WRITERS: dict[str, Writer] = {
    "jsonl": lambda rows: b"".join(json.dumps(row).encode() + b"\n" for row in rows),
    "json": lambda rows: json.dumps(rows, indent=1).encode(),
    "csv": _csv,
}
"""How to write rows of the text columns a and b in each format; a new importer adds its line."""

importers = pytest.mark.parametrize("name", IMPORTERS.names())
unhurried = settings(deadline=None, suppress_health_check=list(HealthCheck))
cell = st.text(st.characters(codec="utf-8"), max_size=20)


def read(name: str, data: bytes) -> list[Record | Malformed]:
    return list(IMPORTERS.get(name)(io.BytesIO(data), LIMIT))


def test_the_promised_importers_are_there_and_each_has_a_writer_here() -> None:
    assert set(IMPORTERS.names()) == {"jsonl", "json", "csv"} == set(WRITERS)


@importers
@unhurried
@given(rows=st.lists(st.fixed_dictionaries({"a": cell, "b": cell}), min_size=1, max_size=8))
def test_what_was_written_is_read_in_order_to_the_letter(name: str, rows: list[dict[str, str]]) -> None:
    found = read(name, WRITERS[name](rows))
    assert [item.values for item in found if isinstance(item, Record)] == rows
    assert len(found) == len(rows)


@importers
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


@importers
@unhurried
@given(
    rows=st.lists(st.fixed_dictionaries({"a": cell, "b": cell}), min_size=1, max_size=4),
    place=st.integers(0, 10_000),
    junk=st.binary(min_size=1, max_size=6),
)
def test_a_damaged_file_is_reported_or_still_rows(
    name: str, rows: list[dict[str, str]], place: int, junk: bytes
) -> None:
    good = WRITERS[name](rows)
    place %= len(good)
    test_whatever_the_bytes_are_there_is_an_answer_and_never_a_crash.hypothesis.inner_test(  # type: ignore[attr-defined]
        name, good[:place] + junk + good[place:]
    )


@importers
def test_lines_are_counted_from_one_and_rise(name: str) -> None:
    found = read(name, WRITERS[name]([{"a": str(i), "b": "x\ny"} for i in range(50)]))
    lines = [item.line for item in found]
    assert lines == sorted(set(lines))
    assert lines[0] >= 1


@importers
def test_an_overlong_row_is_malformed_and_the_next_one_is_read(name: str) -> None:
    rows = [{"a": "1", "b": "x"}, {"a": "2", "b": "y" * 2 * LIMIT}, {"a": "3", "b": "z"}]
    found = read(name, WRITERS[name](rows))
    assert [type(item) for item in found] == [Record, Malformed, Record]


@importers
def test_no_more_than_a_row_is_held_in_memory(name: str) -> None:
    if name == "json":
        return  # an array is held whole, up to a stated limit
    data = WRITERS[name]([{"a": str(i), "b": "x" * 1000} for i in range(20_000)])
    importer = IMPORTERS.get(name)(io.BytesIO(data), LIMIT)
    tracemalloc.start()
    assert sum(1 for _ in importer) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000  # of 20 MB
