"""Parquet is read row by row; a file made to harm is refused by a reader that can harm nobody (DAT-01, S47)."""

from __future__ import annotations

import io
import random
import struct
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.children import children_that_run
from tunery.datasets.formats import IMPORTERS, Malformed, Record, guess_format, parquet_file
from tunery.datasets.formats.encodings import as_utf8
from tunery.datasets.formats.parquet_file import rows_of_lines
from tunery.errors import FormatInvalid

ROWS = 123_457


def file_of(table: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def read(data: bytes, limit: int = 10_000) -> list[Record | Malformed]:
    return list(IMPORTERS.get("parquet")(io.BytesIO(data), limit))


def footer_of(data: bytes) -> tuple[bytes, bytes]:
    (size,) = struct.unpack("<I", data[-8:-4])
    return data[: -8 - size], data[-8 - size : -8]


def with_footer(body: bytes, footer: bytes, size: int | None = None) -> bytes:
    return body + footer + struct.pack("<I", len(footer) if size is None else size) + b"PAR1"


def varint(number: int) -> bytes:
    """Zigzag variable-length integer. Source: Thrift compact protocol."""
    number, out = number << 1, b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


@pytest.fixture(scope="module")
def plain() -> bytes:
    return file_of(pa.table({"text": ["a"] * ROWS}), store_schema=False)


def test_rows_come_in_order_with_their_numbers_over_row_groups() -> None:
    rows = [{"prompt": f"q{i}", "completion": f"a{i}", "n": i, "tags": ["x", {"y": None}][:1]} for i in range(5000)]
    found = read(file_of(pa.Table.from_pylist(rows), row_group_size=1200))
    assert found == [Record(number, row) for number, row in enumerate(rows, start=1)]
    assert guess_format("train-00000-of-00001.parquet") == "parquet"


def test_values_that_json_has_not_become_text_or_are_reported() -> None:
    at = datetime(2024, 5, 6, 7, 8, 9, 1000, UTC)
    table = pa.table(
        {
            "at": pa.array([at] * 4, pa.timestamp("ns", "UTC")),
            "day": pa.array([date(2024, 5, 6)] * 4),
            "price": pa.array([Decimal("1.10")] * 4),
            "took": pa.array([timedelta(seconds=1.5)] * 4, pa.duration("us")),
            "map": pa.array([[("k", 1)]] * 4, pa.map_(pa.string(), pa.int64())),
            "old": pa.array(["größe".encode(), b"\xff\xfe", b"b", b"c"], pa.binary()),
            "share": pa.array([0.5, 0.5, float("nan"), 0.5]),
        }
    )
    found = read(file_of(table))
    row = {"at": "2024-05-06T07:08:09.001000+00:00", "day": "2024-05-06", "price": "1.10", "took": 1.5, "map": {"k": 1}}
    assert found[0] == Record(1, row | {"old": "größe", "share": 0.5})
    assert [type(item) for item in found] == [Record, Malformed, Malformed, Record]
    assert isinstance(found[1], Malformed)
    assert isinstance(found[2], Malformed)
    assert found[1].reason == "column 'old': 2 bytes that are no text"
    assert found[2].reason == "column 'share': NaN or infinity, which JSON does not have; make it null"
    assert found[3].line == 4


def test_times_keep_their_nanoseconds() -> None:
    nanoseconds, time = [1_700_000_000_123_456_789, -1, None], [2001, 0, None]
    table = pa.table(
        {
            "at": pa.array(nanoseconds, pa.timestamp("ns")),
            "there": pa.array(nanoseconds, pa.timestamp("ns", "Europe/Berlin")),
            "time": pa.array(time, pa.time64("ns")),
        }
    )
    found = read(file_of(table.append_column("odd", pa.array([b"a", b"\xff", b"b"]))))
    assert found[0] == Record(
        1,
        {
            "at": "2023-11-14T22:13:20.123456789",
            "there": "2023-11-14T23:13:20.123456789+01:00",
            "time": "00:00:00.000002001",
            "odd": "a",
        },
    )
    assert isinstance(found[1], Malformed)
    assert "1969-12-31T23:59:59.999999999" in found[1].text
    assert found[2] == Record(3, {"at": None, "there": None, "time": None, "odd": "b"})


def test_a_text_that_is_not_utf8_costs_its_row_alone() -> None:
    text = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(struct.pack("<4i", 0, 1, 2, 3)), pa.py_buffer(b"a\xffc")]
    )
    found = read(file_of(pa.table({"text": text}), store_schema=False))
    assert [type(item) for item in found] == [Record, Malformed, Record]
    assert "column 'text': a text that is not UTF-8" in str(found[1])


def test_a_file_that_lies_about_itself_is_refused(plain: bytes) -> None:
    body, footer = footer_of(plain)
    assert footer.count(varint(ROWS)) >= 2
    outside = io.BytesIO()
    facts = pq.read_metadata(io.BytesIO(plain))
    facts.set_file_path("/etc/passwd")
    facts.write_metadata_file(outside)
    deep = pa.int32()
    value: Any = 1
    for _ in range(500):
        deep, value = pa.list_(deep), [value]
    for data, reason in [
        (with_footer(body, footer.replace(varint(ROWS), varint(2**40))), f"claims {2**40} rows"),
        (with_footer(body, footer, 2**31 - 1), "cannot be read"),
        (with_footer(body, footer, len(footer) - 7), "cannot be read"),
        (outside.getvalue(), "lie in another file"),
        (file_of(pa.table({"text": pa.array([value], deep)}), store_schema=False), "too deeply nested"),
        (file_of(pa.table([["a"], ["b"]], names=["x", "x"])), "two columns"),
        (b"PAR1", "cannot be read"),
        (b"", "cannot be read"),
    ]:
        with pytest.raises(FormatInvalid, match=reason):
            read(data)


def test_a_small_file_that_unpacks_to_gigabytes_is_refused_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text of 1 MB, 200,000 times by its number: 200 GB of 1 kB. A page of 100 MB, of 4 kB."""
    monkeypatch.setattr(parquet_file, "MEMORY_BYTES", 50_000_000)
    indices = pa.array([0] * 200_000, pa.int32())
    dictionary = pa.table({"text": pa.DictionaryArray.from_arrays(indices, pa.array(["x" * 1_000_000]))})
    for table, options in [
        (dictionary, {"store_schema": False}),
        (pa.table({"text": ["y" * 100_000_000]}), {"use_dictionary": False, "write_statistics": False}),
    ]:
        data = file_of(table, compression="zstd", **options)
        assert len(data) < 10_000
        with pytest.raises(FormatInvalid, match="malloc|memory|unpack"):
            read(data, 10_000_000)


def test_endless_small_rows_end_at_a_multiple_of_the_files_size() -> None:
    column = {"text": pa.DictionaryArray.from_arrays(pa.array([0] * 200_000, pa.int32()), pa.array(["x" * 5000]))}
    data = file_of(pa.table(column), compression="zstd", store_schema=False)  # of a kB, to 1 GB
    count = 0
    with pytest.raises(FormatInvalid, match="more than 200 times its size"):
        for _ in IMPORTERS.get("parquet")(io.BytesIO(data), 10_000):
            count += 1
    assert count < 15_000  # 64 MiB of 5 kB each


def test_damaged_files_are_reported_or_still_rows() -> None:
    draw = random.Random(7)
    good = file_of(pa.table({"a": [f"text {i}" for i in range(300)], "b": list(range(300))}), compression="none")
    for _ in range(6):
        place = draw.randrange(len(good))
        data = good[:place] + draw.randbytes(draw.randrange(1, 6)) + good[place + draw.randrange(3) :]
        try:
            found = read(data)
        except FormatInvalid:
            continue
        assert [item.line for item in found] == list(range(1, len(found) + 1))


def test_a_reader_that_dies_or_babbles_is_no_crash_of_ours() -> None:
    for lines in ([b'R{"a":1}\n'], [b'R{"a":1'], [b"?\n"], []):
        with pytest.raises(FormatInvalid, match="died"):
            list(rows_of_lines(iter(lines)))
    assert list(rows_of_lines(iter([b'R{"a":1}\n', b"D\n"]))) == [Record(1, {"a": 1})]


def test_whoever_stops_early_leaves_no_process_behind(tmp_path: Path, plain: bytes) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(plain)
    with path.open("rb") as file:
        rows = IMPORTERS.get("parquet")(file, 10_000)
        assert next(rows) == Record(1, {"text": "a"})
        rows.close()  # type: ignore[attr-defined]
    assert children_that_run("parquet_reader") == []


def test_an_encoding_is_of_no_use_for_parquet(plain: bytes) -> None:
    with pytest.raises(FormatInvalid, match="no text"):
        list(IMPORTERS.get("parquet")(as_utf8(io.BytesIO(plain), "latin-1"), 1000))
