"""Sanitising takes away what it says, keeps ids, and leaves a record (DAT-02, DAT-03)."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tunery.datasets import DatasetSanitizer
from tunery.datasets.rows import Row
from tunery.datasets.sanitize import Sanitation
from tunery.datasets.schemas import ImportOptions
from tunery.datasets.shapes import Shape
from tunery.errors import InvalidInput


def sanitize(rows: list[dict[str, Any]], *steps: dict[str, Any], shape: Shape = "completion") -> tuple[list[Row], Any]:
    sanitation = Sanitation(ImportOptions(sanitize=list(steps)).sanitize, shape)
    left = list(sanitation.run(Row(f"r{i}", i, values) for i, values in enumerate(rows, start=1)))
    return left, sanitation.records()


def pair(prompt: str, completion: str, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "completion": completion, **more}


def test_steps_run_in_order_and_each_counts_what_it_did() -> None:
    rows = [pair("aa", "b", name="Ann"), pair("aa", "b", name="Bob"), pair("a" * 50, "b"), pair("cc", "d")]
    left, records = sanitize(
        rows,
        {"step": "strip_keys", "keys": ["name"]},
        {"step": "deduplicate"},
        {"step": "filter_by_length", "max_len": 9},
    )
    assert [row.row_id for row in left] == ["r1", "r4"]
    assert left[0].values == pair("aa", "b")
    assert [(r.step, r.affected_samples) for r in records] == [
        ("strip_keys", 2),
        ("deduplicate", 1),
        ("filter_by_length", 1),
    ]
    assert records[0].parameters == {"keys": ["name"]}
    assert "at most 9 characters" in records[2].description
    assert all(record.timestamp.tzinfo is not None for record in records)


def test_rows_that_teach_the_same_are_duplicates_whatever_stands_beside() -> None:
    left, _ = sanitize([pair("a", "b", id=1), pair("a", "b", id=2), pair("a", "c", id=3)], {"step": "deduplicate"})
    assert [row.values["id"] for row in left] == [1, 3]


def test_length_is_counted_in_characters_of_the_column_or_of_what_is_learnt() -> None:
    rows = [pair("éé", "ééé", note="x" * 99)]  # 2 + 3 characters, 10 bytes
    assert len(sanitize(rows, {"step": "filter_by_length", "max_len": 5})[0]) == 1
    assert len(sanitize(rows, {"step": "filter_by_length", "max_len": 4})[0]) == 0
    assert len(sanitize(rows, {"step": "filter_by_length", "key": "prompt", "max_len": 2})[0]) == 1
    assert len(sanitize(rows, {"step": "filter_by_length", "min_len": 6})[0]) == 0
    chat = [{"messages": [{"role": "user", "content": "abc"}, {"role": "assistant", "content": "de"}]}]
    assert len(sanitize(chat, {"step": "filter_by_length", "min_len": 5, "max_len": 5}, shape="chat")[0]) == 1


def test_a_column_that_rows_are_made_of_cannot_be_stripped() -> None:
    with pytest.raises(InvalidInput, match="'completion'"):
        sanitize([pair("a", "b")], {"step": "strip_keys", "keys": ["completion"]})


@pytest.mark.parametrize(
    "step",
    [
        {"step": "dedup"},
        {"keys": ["a"]},
        {"step": "strip_keys"},
        {"step": "strip_keys", "keys": []},
        {"step": "filter_by_length"},
        {"step": "filter_by_length", "max_length": 5},
        {"step": "filter_by_length", "min_len": 9, "max_len": 5},
        {"step": "deduplicate", "keys": ["a"]},
    ],
)
def test_a_step_that_is_not_one_is_refused_before_anything_runs(step: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImportOptions(sanitize=[step])


def test_dat_02_strip_keys_as_r4_writes_it() -> None:
    data = [{"text": "a", "ssn": "1"}, {"text": "b"}]
    assert DatasetSanitizer().strip_keys(data, ["ssn", "phone"]) == [{"text": "a"}, {"text": "b"}]
    assert data[0] == {"text": "a", "ssn": "1"}


def test_dat_03_filter_by_length_as_r4_writes_it() -> None:
    data = [{"text": "abc"}, {"text": "abcd"}, {"other": "x"}]
    assert DatasetSanitizer().filter_by_length(data, "text", 3) == [{"text": "abc"}, {"other": "x"}]
