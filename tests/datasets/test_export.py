"""Rows leave as files: exact as JSON lines, without formulas as CSV, typed as Parquet (S46)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.datasets.export import JSON_FIELD, escaped_cell, export_rows
from tunery.datasets.formats import IMPORTERS, Record
from tunery.errors import InvalidInput

FORMULAS = ["=cmd|'/C calc'!A0", "+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "＝1", " =1", "'=1", '=HYPERLINK("x")']


def imported(path: Path, name: str) -> list[dict[str, Any]]:
    found = list(IMPORTERS.get(name)(io.BytesIO(path.read_bytes()), 10_000))
    assert all(isinstance(item, Record) for item in found)
    return [item.values for item in found if isinstance(item, Record)]


def test_a_spreadsheet_finds_no_formula_in_an_exported_csv(tmp_path: Path) -> None:
    """DAT-01: the import keeps them byte for byte, and so does every other export."""
    rows = [{"=name": text, "n": -1} for text in FORMULAS]
    assert export_rows(lambda: rows, tmp_path / "a.csv", "csv") == len(FORMULAS)
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        header, *cells = csv.reader(file)
    assert header == ["'=name", "n"]
    assert [cell for cell, _ in cells] == [f"'{text}" for text in FORMULAS]
    assert {number for _, number in cells} == {"-1"}
    assert export_rows(lambda: rows, tmp_path / "a.jsonl", "jsonl") == len(FORMULAS)
    assert imported(tmp_path / "a.jsonl", "jsonl") == rows
    export_rows(lambda: rows, tmp_path / "a.parquet", "parquet")
    assert imported(tmp_path / "a.parquet", "parquet") == rows


@given(st.text())
def test_an_escaped_cell_is_no_formula_and_gives_its_text_back(text: str) -> None:
    cell = escaped_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    back = cell[1:] if cell.startswith("'") and escaped_cell(cell[1:]) == cell else cell
    assert back == text


def test_values_of_every_kind_survive_parquet(tmp_path: Path) -> None:
    rows = [
        {"text": "a", "n": 1, "share": 1, "yes": True, "tags": ["x", {"y": 1}], "big": 2**70, "mixed": 1, "none": None},
        {"text": None, "n": None, "share": 0.5, "yes": False, "tags": {}, "big": 1, "mixed": "b", "more": "c"},
    ]
    rows[0] |= {"long": 2**53 + 1, "exact": 2**53 + 1}  # no float is this number
    rows[1] |= {"long": 1, "exact": 0.5}
    export_rows(lambda: rows, tmp_path / "rows.parquet", "parquet")
    table = pq.read_table(tmp_path / "rows.parquet")
    kinds = {
        "text": "large_string",
        "n": "int64",
        "long": "int64",
        "share": "double",
        "yes": "bool",
        "tags": "large_string",
    }
    assert {name: str(table.schema.field(name).type) for name in kinds} == kinds
    first, second = table.to_pylist()
    as_text = {"tags": '["x",{"y":1}]', "big": str(2**70), "mixed": "1", "exact": str(2**53 + 1)}
    assert first == rows[0] | as_text | {"more": None}
    assert (second["tags"], second["mixed"], second["more"], second["exact"]) == ("{}", '"b"', "c", "0.5")
    assert [field.name for field in table.schema if field.metadata == JSON_FIELD] == ["tags", "big", "mixed", "exact"]


def test_a_table_has_the_columns_and_kinds_of_all_rows_the_last_included(tmp_path: Path) -> None:
    """DAT-07: 25,000 rows are three batches of 10,000 and fewer; in the last of them a column changes its kind."""
    rows: list[dict[str, Any]] = [{"a": 1, "b": "x"}] * 25_000 + [{"a": "1", "late": 2, "b": "y"}]
    assert export_rows(lambda: rows, tmp_path / "a.parquet", "parquet") == 25_001
    table = pq.read_table(tmp_path / "a.parquet")
    assert table["a"].to_pylist() == ["1"] * 25_000 + ['"1"']
    assert table.slice(24_999).select(["late", "b"]).to_pylist() == [{"late": None, "b": "x"}, {"late": 2, "b": "y"}]


def test_the_columns_of_a_table_are_those_named_or_those_of_the_rows(tmp_path: Path) -> None:
    rows = [{"b": 1}, {"a": 'x,\n"y"'}]
    export_rows(lambda: [*rows, {"c": 1}], tmp_path / "a.csv", "csv", ["a", "b"])
    assert (tmp_path / "a.csv").read_bytes() == b'a,b\r\n,1\r\n"x,\n""y""",\r\n,\r\n'
    wide = [{str(n): 1} for n in range(10_001)]
    for form in ("csv", "parquet"):
        with pytest.raises(InvalidInput, match="more than 10,000 columns"):
            export_rows(lambda: wide, tmp_path / f"wide.{form}", form)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="no row"):
            export_rows(list, tmp_path / f"none.{form}", form)  # type: ignore[arg-type]
    assert export_rows(list, tmp_path / "none.jsonl", "jsonl") == 0
    assert export_rows(lambda: [*rows, {"c": 1}], tmp_path / "none.jsonl", "jsonl", ["a"]) == 3
    assert (tmp_path / "none.jsonl").read_text() == '{}\n{"a":"x,\\n\\"y\\""}\n{}\n'
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "none.jsonl"]


def test_a_broken_export_leaves_no_file_and_the_earlier_one_stands(tmp_path: Path) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield {"a": 1}
        raise OSError("the store is away")

    path = tmp_path / "rows.csv"
    path.write_text("earlier")
    with pytest.raises(OSError, match="away"):
        export_rows(rows, path, "csv")
    assert [file.name for file in tmp_path.iterdir()] == ["rows.csv"]
    assert path.read_text() == "earlier"
