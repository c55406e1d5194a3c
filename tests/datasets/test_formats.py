"""What each importer makes of files as the world writes them."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import pytest

from tunery.datasets.formats import IMPORTERS, Aside, Malformed, Record, guess_format, json_file
from tunery.datasets.quarantine import Quarantine, read_records
from tunery.datasets.schemas import TrainingData
from tunery.errors import FormatInvalid, TooLarge

LIMIT = 10_000


def read(format_name: str, data: bytes, limit: int = LIMIT) -> list[Record | Malformed | Aside]:
    return list(IMPORTERS.get(format_name)(io.BytesIO(data), limit))


def reasons(found: list[Record | Malformed]) -> dict[int, str]:
    return {item.line: item.reason for item in found if isinstance(item, Malformed)}


def values(found: list[Record | Malformed]) -> list[dict[str, object]]:
    return [item.values for item in found if isinstance(item, Record)]


def test_a_byte_order_mark_and_crlf_are_no_part_of_a_row() -> None:
    assert read("jsonl", b'\xef\xbb\xbf{"a":"x"}\r\n{"a":"y"}\r\n') == [Record(1, {"a": "x"}), Record(2, {"a": "y"})]
    assert read("json", b'\xef\xbb\xbf[{"a":"x"},\r\n{"a":"y"}]\r\n') == [Record(1, {"a": "x"}), Record(2, {"a": "y"})]
    assert read("csv", b'\xef\xbb\xbfa,b\r\nx,"y\r\nz"\r\n') == [Record(2, {"a": "x", "b": "y\r\nz"})]


def test_a_last_line_without_line_end_is_a_row() -> None:
    assert len(read("jsonl", b'{"a":1}\n{"a":2}')) == 2
    assert len(read("csv", b"a,b\n1,2\n3,4")) == 2


def test_blank_lines_are_no_rows_and_count_as_lines() -> None:
    assert [item.line for item in read("jsonl", b'\n{"a":1}\n  \n{"a":2}\n\n')] == [2, 4]
    assert [item.line for item in read("csv", b"a,b\n\n1,2\n\n3,4\n")] == [3, 5]


def test_a_double_is_read_however_a_program_writes_it() -> None:
    """17 digits tell any double; longer ones must be the double itself, written out."""
    doubles = [0.1, -1 / 3, 2.0**-44, 1e23, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -0.0, 1e16, 71.3]
    for written in ("{!r}", "{:.17g}", "{:.16e}", "{:.20e}", "{:.60f}"):
        texts = [written.format(each) for each in doubles]
        if written.endswith("f}"):  # 60 places are too few for what is near to 0
            texts = [text for text, each in zip(texts, doubles, strict=True) if not 0 < abs(each) < 1e-3]
        texts = [text if {".", "e"} & {*text} else text + ".0" for text in texts]
        [row] = read("jsonl", b'{"a": [' + ", ".join(texts).encode() + b"]}\n")
        assert isinstance(row, Record), row
        assert row.values["a"] == [float(text) for text in texts]
    [row] = read("jsonl", b'{"a": [0.10000000000000000000000000000, 0e-999, 0.000000000000000000000000, 25e-1]}\n')
    assert row.values["a"] == [0.1, 0.0, 0.0, 2.5]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a": -Infinity}', "-Infinity is no JSON number"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": "1e-400", "b": 1e-400}', "the number at column 22 is too near 0"),
        (b'{"a": [-0.1, 12345678901234567890.5]}', "the number at column 14 has more digits than a double holds"),
        (b'{"a": 1.0000000000000000000000000000000000001}', "column 7 has more digits"),
        (b'{"a": 1, "b": 2, "a": 3}', "key number 3 of an object stands in it already"),
        (b"[" * 100_000, "nested deeper than 64"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "nested deeper than 64"),
        (b'{"a": ' + b"9" * 1000 + b"}", "1000 digits"),
        (rb'{"a": "\ud800"}', "half of a surrogate pair"),
        (b'{"a": "\xe9"}', "not UTF-8: byte 0xe9 at place 8"),
        (b'{"a": 1', "expecting ',' delimiter at column 8"),
        (b'{"a": 1} {"a": 2}', "8 more characters follow"),
        (b'["a"]', "an array"),
        (b'"a"', "a text"),
        (b"null", "null"),
        (b"17", "a number"),
        (b'{"a": "tab\there"}', "control character"),
        (b'{"a": "' + b"x" * 20_000 + b'"}', "longer than 10000 bytes"),
    ],
)
def test_a_malformed_line_tells_its_number_and_reason_and_the_next_is_read(line: bytes, reason: str) -> None:
    limit = 200_000 if line.startswith(b"[[") else LIMIT
    found = read("jsonl", b'{"a": 0}\n' + line + b'\n{"a": 2}\n', limit)
    assert [type(item) for item in found] == [Record, Malformed, Record]
    assert reasons(found).keys() == {2}
    assert reason in reasons(found)[2]


def test_lines_that_end_in_cr_alone_are_reported_as_such() -> None:
    assert "CR" in reasons(read("jsonl", b'{"a":1}\r{"a":2}\r'))[1]
    assert "CR" in reasons(read("csv", b"a,b\n1,2\r3,4\r"))[2]


def test_a_very_long_line_is_passed_over_without_being_held() -> None:
    class Endless(io.RawIOBase):
        """100 MB of one line, made as it is read."""

        left = 100_000_000

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            size = min(len(buffer), self.left)
            buffer[:size] = b"x" * size
            self.left -= size
            return size

    tracemalloc.start()
    found = list(IMPORTERS.get("jsonl")(io.BufferedReader(Endless()), LIMIT))  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [Malformed(1, "longer than 10000 bytes", "x" * 1000)]
    assert peak < 1_000_000


@pytest.mark.parametrize("format_name", ["jsonl", "json", "csv"])
@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\xfea\x00", "UTF-16"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"PK\x03\x04", "zip"),
        (b"PAR1", "Parquet"),
    ],
)
def test_a_file_of_another_kind_is_refused_whatever_its_name(format_name: str, head: bytes, kind: str) -> None:
    with pytest.raises(FormatInvalid, match=kind):
        read(format_name, head + b"\x00" * 100)


def test_a_json_object_with_one_array_is_read_like_the_array() -> None:
    found = read("json", b'{"version": 1,\n "rows": [\n {"a": 1},\n {"a": 2}\n], "by": {"x": []}}')
    assert found == [Aside(1, {"version": 1}), Record(3, {"a": 1}), Record(4, {"a": 2}), Aside(5, {"by": {"x": []}})]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "begins with"),
        (b"17", "begins with"),
        (b'{"a": 1}', "without an array"),
        (b'{"a": [{"x":1}], "b": []}', "which array"),
        (b'[{"a": 1}\n{"a": 2}]', "line 2: , is missing"),
        (b'[{"a": 1},\n]', "line 2: a comma"),
        (b'[{"a": 1}', "is missing"),
        (b'[{"a": 1}] x', "text follows"),
        (b'[{"a": 1},\n{"a" 2}]', "line 2: expecting ':'"),
        (b'[\n"\xe9"]', "line 2: not UTF-8"),
        (b"[" * 100_000, "nested deeper"),
        (b'{"a": 1}\n{"a": 2}\n', "without an array"),
    ],
)
def test_a_json_file_that_is_no_list_of_rows_is_refused_with_the_line(data: bytes, reason: str) -> None:
    with pytest.raises(FormatInvalid, match=reason):
        read("json", data)


def test_an_element_with_a_fault_within_is_set_apart_and_the_rest_is_read() -> None:
    found = read("json", b'[{"a": 1},\n{"a": NaN},\n7,\n{"b": 1, "b": 2},\n{"a": 5}]')
    assert [type(item) for item in found] == [Record, Malformed, Malformed, Malformed, Record]
    assert list(reasons(found)) == [2, 3, 4]


def test_a_json_file_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_file, "MAX_BYTES", 10)
    with pytest.raises(TooLarge, match="JSONL"):
        read("json", b'[{"a": 12345678}]')


def test_csv_separators_are_told_from_the_header() -> None:
    for mark in (b",", b";", b"\t"):
        assert values(read("csv", b"a" + mark + b"b\n1" + mark + b"2\n")) == [{"a": "1", "b": "2"}]


def test_a_line_above_the_header_that_names_the_separator_is_taken_at_its_word() -> None:
    for said in (b"sep=;\r\n", b'\xef\xbb\xbf"SEP=;"\n'):
        assert read("csv", said + b"a;b,c\n1;2\n") == [Record(3, {"a": "1", "b,c": "2"})]
    assert read("csv", b"sep=|\na|b\n1|2\n") == [Record(3, {"a": "1", "b": "2"})]
    with pytest.raises(FormatInvalid, match="line 2: two columns"):
        read("csv", b"sep=;\na;a\n")


def test_csv_values_are_kept_to_the_letter() -> None:
    row = {"a": "=cmd|'/C calc'!A0", "b": ' "quoted", with\ttab '}
    assert values(read("csv", b'a,b\n=cmd|\'/C calc\'!A0," ""quoted"", with\ttab "\n')) == [row]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"1,2,3", "3 fields, but the header has 2"),
        (b"1", "1 fields"),
        (b'"1"x,2', "quotes"),
        (b"\xe9,2", "not UTF-8"),
        (b"1," + b"x" * 20_000, "longer than 10000 bytes"),
    ],
)
def test_a_malformed_record_tells_its_line_and_the_next_is_read(record: bytes, reason: str) -> None:
    found = read("csv", b"a,b\n0,0\n" + record + b"\n3,3\n")
    assert [type(item) for item in found] == [Record, Malformed, Record]
    assert reason in reasons(found)[3]


def test_a_quote_that_is_never_closed_names_the_line_where_it_opens() -> None:
    found = read("csv", b'a,b\n0,0\n1,"two\n3,3\n4,4\n')
    assert reasons(found) == {3: "a quote that is opened here is never closed (the record goes on to line 5)"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"a,a\n", "two columns"),
        (b"a,\n1,2\n", "line 1: 1 of 2 columns"),
        (b"Export Q3;;;;\na;b;c;d;e\n", "4 of 5 columns have no readable name.*delete what stands above"),
    ],
)
def test_a_csv_file_without_a_good_header_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(FormatInvalid, match=reason):
        read("csv", data)


def test_the_ending_of_a_name_tells_the_format() -> None:
    assert [guess_format(name) for name in ("a.jsonl", "b.JSON", "c.csv", "d.ndjson")] == [
        "jsonl",
        "json",
        "csv",
        "jsonl",
    ]
    with pytest.raises(FormatInvalid, match=r"\.csv, \.json, \.jsonl"):
        guess_format("rows.xlsx")


def test_dat_10_the_training_data_block_of_a_recipe_names_file_format_and_split(tmp_path: Path) -> None:
    path = tmp_path / "rows.data"
    path.write_text('{"question": "q", "answer": "a"}\n')
    block = {"source": "file", "path": str(path), "format": "jsonl", "validation_split": 0.1}
    section = TrainingData.model_validate(block)
    options = section.import_options([], seed=0)
    assert (section.source, options.format, options.validation_split) == ("file", "jsonl", 0.1)
    (record,) = read_records(path, options.format or "", LIMIT, Quarantine("stop"), options.encoding)
    assert record == Record(1, {"question": "q", "answer": "a"})
    with pytest.raises(ValueError, match="there is no importer"):
        TrainingData.model_validate(block | {"format": "xlsx"})
