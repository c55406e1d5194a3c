"""What is found in a file before it is imported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunery.datasets.inspection import Findings, inspect_file
from tunery.datasets.quarantine import Quarantine, read_records
from tunery.errors import FormatInvalid, RowInvalid


def inspect(folder: Path, rows: list[Any], name: str = "rows.jsonl", **options: Any) -> Findings:
    path = folder / name
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return inspect_file(path, **options)


def test_shape_columns_lengths_and_faults_are_told(tmp_path: Path) -> None:
    rows = [{"question": "q" * i, "answer": "a", "id": i} for i in range(1, 101)]
    found = inspect(tmp_path, [*rows, rows[0] | {"id": 101}, "{oops", {"x": 1}])
    assert (found.format, found.shape, found.problem) == ("jsonl", "completion", None)
    assert found.columns[:3] == ["question", "answer", "id"]
    assert found.mapping == {"prompt": "question", "completion": "answer"}
    assert (found.rows, found.malformed, found.duplicates) == (101, 2, 1)
    assert [(bad.line, bad.text) for bad in found.bad_lines] == [(102, "{oops"), (103, '{"x":1}')]
    assert found.lengths is not None
    # question i and its answer have i + 1 characters, the repeated row 2: sorted 2, 2, 3, ..., 101
    assert (found.lengths.least, found.lengths.median, found.lengths.greatest) == (2, 51, 101)
    assert found.examples[0] == {"prompt": "q", "completion": "a", "id": 1}


@pytest.mark.parametrize(
    ("answers", "metrics", "labels"),
    [
        ([json.dumps({"n": i}) for i in range(40)], ["exact_match", "json_valid", "json_field_f1"], []),
        (["spam", "ham"] * 20, ["exact_match", "accuracy", "f1_score"], ["ham", "spam"]),
        ([f"a sentence about {i}" for i in range(40)], ["exact_match", "token_f1"], []),
        (["{not json"] * 20 + [f"{{{i}" for i in range(20)], ["exact_match", "token_f1"], []),
    ],
)
def test_metrics_suit_the_answers(tmp_path: Path, answers: list[str], metrics: list[str], labels: list[str]) -> None:
    found = inspect(tmp_path, [{"prompt": str(i), "completion": answer} for i, answer in enumerate(answers)])
    assert (found.metrics, found.labels) == (metrics, labels)


def test_plain_text_is_measured_by_perplexity(tmp_path: Path) -> None:
    assert inspect(tmp_path, [{"text": "a"}]).metrics == ["perplexity"]


def test_a_mixed_or_useless_file_is_a_finding_and_no_crash(tmp_path: Path) -> None:
    mixed = inspect(tmp_path, [{"text": "a"}, {"prompt": "a", "completion": "b"}, "{oops", {"text": "a"}])
    assert (mixed.shape, mixed.rows, mixed.malformed) == (None, 3, 1)
    assert (mixed.lengths, mixed.duplicates) == (None, None)  # no more than the first rows were measured
    assert "mixes rows" in (mixed.problem or "")
    useless = inspect(tmp_path, [{"x": 1}])
    assert (useless.shape, useless.malformed, useless.bad_lines) == (None, 0, [])
    assert (useless.problem or "").startswith("no row of it can be used as it stands: on line 1 its columns (x)")
    broken = inspect(tmp_path, ["{oops", {"x": 1}])
    assert [bad.line for bad in broken.bad_lines] == [1]
    assert broken.malformed == 1


def test_a_table_without_a_row_names_row_and_column(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "score": [float("nan")]}), tmp_path / "rows.parquet")
    problem = inspect_file(tmp_path / "rows.parquet").problem or ""
    assert problem.startswith("no row of it can be used: row 1: column 'score': NaN")
    with pytest.raises(RowInvalid, match="^row 1: column 'score': NaN .* Correct the row"):
        [*read_records(tmp_path / "rows.parquet", "parquet", 1000, Quarantine("stop"))]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
        (
            b"hello\nworld\n",
            "no line of it could be read; is it of another format? Line 1: expecting value at column 1",
        ),
        (b'{"a": "b', "Line 1: unterminated string starting at column 7"),
        (b'[{"prompt": "a", "completion": "b"}]', "is the whole file one array? Its format is json"),
        (b"\x93\x00\xff\xfe\n", "Line 1: not UTF-8: byte 0x93"),
    ],
)
def test_a_file_without_a_row_says_what_it_is(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    found = inspect_file(path)
    assert found.rows == 0
    assert problem in (found.problem or "")


def test_lengths_of_the_answers_are_told(tmp_path: Path) -> None:
    found = inspect(tmp_path, [{"prompt": "p" * 9, "completion": "c" * n} for n in (1, 5, 3)])
    assert found.answer_lengths is not None
    assert (found.answer_lengths.least, found.answer_lengths.greatest) == (1, 5)
    assert inspect(tmp_path, [{"text": "a"}]).answer_lengths is None


def test_declared_columns_are_used(tmp_path: Path) -> None:
    found = inspect(tmp_path, [{"q": "a", "a": "b"}], columns={"prompt": "q", "completion": "a"})
    assert (found.shape, found.rows) == ("completion", 1)


def test_a_file_of_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatInvalid, match="ending"):
        inspect(tmp_path, [{"text": "a"}], name="rows.xlsx")
    assert inspect(tmp_path, [{"text": "a"}], name="rows.xlsx", format_name="jsonl").rows == 1
