"""From a file to a version, with every row accounted for."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tunery.datasets.build import Built, build_rows
from tunery.datasets.quarantine import Quarantine
from tunery.datasets.schemas import ImportOptions, TrainingData
from tunery.errors import InvalidInput, RowInvalid

PLAIN = {"validation_split": 0, "test_split": 0}


def build(
    folder: Path, data: bytes, *, format_name: str = "jsonl", aside: io.BytesIO | None = None, **options: Any
) -> Built:
    source, scratch = folder / "source", folder / "scratch"
    source.write_bytes(data)
    scratch.mkdir(exist_ok=True)
    wish = ImportOptions(**(PLAIN | options))
    return build_rows(
        source,
        format_name,
        wish,
        scratch=scratch,
        quarantine=Quarantine(wish.on_error, aside),
        max_row_bytes=10_000,
    )


def lines(*rows: Any) -> bytes:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()


def pairs(count: int) -> list[dict[str, str]]:
    return [{"prompt": f"question number {i * 7919}", "completion": f"answer {i}"} for i in range(count)]


def pairs_in(built: Built) -> frozenset[tuple[str, str]]:
    return frozenset((row.row_id, row.content) for row in built.rows())


def test_a_malformed_line_stops_the_import_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(RowInvalid, match=r"line 2: expecting property name .*--on-error quarantine") as caught:
        build(tmp_path, lines({"text": "a"}, "{oops", {"text": "b"}))
    assert caught.value.details["line"] == 2


def test_every_line_is_a_row_or_set_aside_with_its_reason(tmp_path: Path) -> None:
    aside = io.BytesIO()
    data = lines({"text": "a"}, "{oops", {"text": ""}, {"other": 1}, '{"text": NaN}', {"text": "b"})
    built = build(tmp_path, data, aside=aside, on_error="quarantine")
    assert (built.read, built.quarantined) == (2, 4)
    kept = [json.loads(line) for line in aside.getvalue().splitlines()]
    assert [row["line"] for row in kept] == [2, 3, 4, 5]
    assert all(row["reason"] for row in kept)
    assert kept[0]["text"] == "{oops"
    assert [row.line for row in built.rows()] == [1, 6]


def test_a_repeated_key_is_set_aside_and_the_first_stays(tmp_path: Path) -> None:
    rows = [{"id": "a", "text": "one"}, {"id": "b", "text": "two"}, {"id": "a", "text": "three"}, {"text": "four"}]
    built = build(tmp_path, lines(*rows), key="id", on_error="quarantine")
    found = {row.row_id: row.values["text"] for row in built.rows()}
    assert (found, built.quarantined) == ({"a": "one", "b": "two"}, 2)


def test_mixed_shapes_are_refused_whatever_the_policy(tmp_path: Path) -> None:
    data = lines({"text": "a"}, *pairs(2), {"text": "a"})
    for on_error in ("stop", "quarantine"):
        with pytest.raises(InvalidInput, match=r"text on line 1, 4; completion on line 2, 3"):
            build(tmp_path, data, on_error=on_error, sanitize=[{"step": "deduplicate"}])


def test_the_same_rows_in_another_order_make_the_same_version_and_split(tmp_path: Path) -> None:
    rows = pairs(60)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = build(tmp_path / "a", lines(*rows), validation_split=0.1, test_split=0.2, seed=5)
    two = build(tmp_path / "b", lines(*reversed(rows)), validation_split=0.1, test_split=0.2, seed=5)
    assert pairs_in(one) == pairs_in(two)
    assert one.split.rows == {"train": 42, "validation": 6, "test": 12}  # 60 * 0.1 and 60 * 0.2
    first = {row.row_id: row.split for row in one.rows()}
    assert first == {row.row_id: row.split for row in two.rows()}


def test_a_row_keeps_its_id_through_sanitising(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    rows = [{**row, "name": "Ann"} for row in pairs(5)]
    plain = build(tmp_path / "a", lines(*rows))
    stripped = build(tmp_path / "b", lines(*rows), sanitize=[{"step": "strip_keys", "keys": ["name"]}])
    assert [row.row_id for row in plain.rows()] == [row.row_id for row in stripped.rows()]
    assert pairs_in(plain) != pairs_in(stripped)
    assert [(step.step, step.affected_samples) for step in stripped.steps] == [("strip_keys", 5)]


def test_csv_and_json_and_jsonl_of_the_same_rows_make_the_same_version(tmp_path: Path) -> None:
    rows = [{"prompt": "a,b", "completion": 'say "x"'}, {"prompt": "c\nd", "completion": "y"}]
    csv = b'prompt,completion\n"a,b","say ""x"""\n"c\nd",y\n'
    found = set()
    for name, data in (("jsonl", lines(*rows)), ("json", json.dumps(rows).encode()), ("csv", csv)):
        (tmp_path / name).mkdir()
        found.add(pairs_in(build(tmp_path / name, data, format_name=name)))
    assert len(found) == 1


def test_a_file_without_a_usable_row_is_refused_with_reasons(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no usable row$"):
        build(tmp_path, b"\n\n")
    with pytest.raises(InvalidInput, match=r"no usable row \(line 1: expecting value"):
        build(tmp_path, b"oops\n", on_error="quarantine")


def test_steps_that_leave_nothing_are_refused(tmp_path: Path) -> None:
    steps = [{"step": "filter_by_length", "min_len": 5}, {"step": "strip_keys", "keys": ["nope"]}]
    with pytest.raises(InvalidInput, match="left no row: filter_by_length took away the last 2;"):
        build(tmp_path, lines({"text": "a"}, {"text": "b"}), sanitize=steps)


def test_whoever_watches_may_end_the_build(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(lines(*pairs(3000)))
    seen: list[tuple[str, int]] = []

    def watch(stage: str, rows: int) -> None:
        seen.append((stage, rows))
        if stage == "write":
            raise KeyboardInterrupt

    wish = ImportOptions(**PLAIN)
    options: dict[str, Any] = {"scratch": tmp_path, "quarantine": Quarantine("stop"), "max_row_bytes": 1000}
    built = build_rows(source, "jsonl", wish, **options, watch=watch)
    with pytest.raises(KeyboardInterrupt):
        list(built.batches(watch))
    assert seen == [("read", 1000), ("read", 2000), ("read", 3000), ("split", 3000), ("write", 1000)]


def test_dat_10_r5s_section_is_valid_as_it_stands() -> None:
    section = TrainingData.model_validate(
        {
            "source": "file",
            "path": "/app/training-data/processed/data.jsonl",
            "format": "jsonl",
            "validation_split": 0.1,
        }
    )
    assert (section.dataset_name, section.test_split) == ("data", 0.1)
    options = section.import_options([], seed=3)
    assert (options.format, options.validation_split, options.seed) == ("jsonl", 0.1, 3)


@pytest.mark.parametrize(
    "section",
    [
        {"path": "a.jsonl", "formt": "jsonl"},
        {"path": "a.jsonl", "format": "xlsx"},
        {"path": ""},
        {"path": "a.jsonl", "source": "web"},
        {"path": "a.jsonl", "validation_split": 1.0},
        {"path": "a.jsonl", "validation_split": -0.1},
        {"path": "a.jsonl", "validation_split": float("nan")},
        {"path": "a.jsonl", "test_split": "many"},
        {"path": "a.jsonl", "test_split": True},
        {"path": "a.jsonl", "on_error": "ignore"},
        {"path": "a.jsonl", "columns": {"label": "x"}},
        {"path": "a.jsonl", "name": "Not A Name"},
    ],
)
def test_a_section_with_a_fault_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        TrainingData.model_validate(section)


def test_dat_08_a_plain_table_takes_any_columns_where_it_is_asked_for(tmp_path: Path) -> None:
    rows = [{"n": n, "prompt": None, **({"extra": [n]} if n % 2 else {})} for n in range(20)]
    built = build(tmp_path, lines(*rows), shape="table")
    assert (built.shape, built.columns, [row.values for row in built.rows()]) == ("table", {}, rows)
    assert {row.split for row in built.rows()} == {"train"}
    doubled = [*rows, rows[3]]
    left = build(tmp_path, lines(*doubled), shape="table", sanitize=[{"step": "deduplicate"}], test_split=5)
    assert left.split.rows == {"train": 15, "validation": 0, "test": 5}
    short = build(tmp_path, lines({"a": "x"}, {"a": "xxxx"}), shape="table",
                  sanitize=[{"step": "filter_by_length", "min_len": 3}])  # fmt: skip
    assert [row.values for row in short.rows()] == [{"a": "xxxx"}]
    with pytest.raises(RowInvalid, match="it has no columns"):
        build(tmp_path, lines({"a": 1}, {}), shape="table")
    with pytest.raises(InvalidInput, match="shape: table"):  # told, never guessed
        build(tmp_path, lines(*rows[:1]).replace(b"prompt", b"other"))
    with pytest.raises(ValueError, match="leave one of them out"):
        ImportOptions(shape="table", columns={"text": "a"})
    assert ImportOptions(shape="table").test_split == 0
