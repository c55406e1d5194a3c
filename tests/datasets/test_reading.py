"""A long file is read by several processes, and nobody can tell by the result."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest

from tunery.datasets import packed, reading, workers
from tunery.datasets.build import build_rows
from tunery.datasets.identifiers import Identifiers, entries_for
from tunery.datasets.quarantine import Quarantine
from tunery.datasets.schemas import ImportOptions
from tunery.datasets.subject_watch import SubjectWatch
from tunery.datasets.workers import Workers
from tunery.errors import Cancelled, InternalError, TuneryError
from tunery.platform.blobs.tenant_secrets import TenantSecret

STEPS: list[dict[str, Any]] = [
    {"step": "strip_keys", "keys": ["note"]},
    {"step": "deduplicate"},
    {"step": "redact_pii", "actions": {"EMAIL": "mask"}},
    {"step": "filter_by_length", "max_len": 300},
]


def outcome(folder: Path, data: bytes, *, encoding: str | None = None, **options: Any) -> dict[str, Any]:
    """All that an import of the file tells, or its error."""
    folder.mkdir()
    source, aside = folder / "source", io.BytesIO()
    source.write_bytes(data)
    wish = ImportOptions.model_validate(
        {"validation_split": 0, "test_split": 0, "on_error": "quarantine", "encoding": encoding} | options
    )
    quarantine = Quarantine(wish.on_error, aside)
    secret, forgotten = (TenantSecret(1, bytes([n]) * 32) for n in (1, 2))
    subjects = SubjectWatch(Identifiers(), secret, [forgotten], {*entries_for("p7@example.com", [forgotten])})
    told: list[tuple[str, int]] = []
    try:
        built = build_rows(
            source,
            "jsonl",
            wish,
            scratch=folder,
            quarantine=quarantine,
            max_row_bytes=2000,
            subjects=subjects,
            watch=lambda *stage: told.append(stage),
        )
    except TuneryError as error:
        return {"error": (error.code, error.message, error.details)}
    steps = [step.model_dump(exclude={"timestamp", "seconds"}) for step in built.steps]
    return {
        "rows": [(row, row.row_hash) for row in built.rows()],
        "aside": (aside.getvalue(), quarantine.first),
        "counts": (built.read, built.quarantined, built.passed_over, built.columns, built.split, told),
        "steps": steps,
        "entries": b"".join(subjects.entries.in_order()),
    }


def messy_lines(count: int, **more: Any) -> list[str]:
    """Rows with copies near and far, people, faults of each kind, and lines that are none."""
    rng = random.Random(4)
    rows: list[str] = []
    for number in range(count):
        row = {"prompt": f"question {number} of p{number % 40}@example.com", "completion": "x" * rng.randrange(400)}
        row |= {"note": "n"} if number % 5 == 0 else {}
        row |= {name: value(number) for name, value in more.items()}
        rows.append(json.dumps(row))
        if number % 7 == 0:
            rows.append(rng.choice(rows))
        if number % 60 == 0:
            rows += ["{oops", '{"other": 1}', '{"prompt": "lacks its answer"}', "", "[1]", '{"prompt": "", "a": NaN}']
            rows += [
                '{"prompt": "long", "completion": "' + "y" * 5000 + '"}',
                "PAR1 is no kind of file here",
                "\ufeff{}",
            ]
    return rows


def both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, **options: Any) -> dict[str, Any]:
    alone = outcome(tmp_path / "alone", data, **options)
    monkeypatch.setattr(workers, "_LEAST_BYTES", 1)
    monkeypatch.setattr(reading, "_PIECE", 9_000)
    monkeypatch.setattr(packed, "_CHUNK_CHARACTERS", 5_000)
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    shared = outcome(tmp_path / "shared", data, **options)
    assert shared == alone
    return shared


def test_rows_faults_tallies_and_people_are_as_one_process_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = "\ufeff" + "\n".join(messy_lines(250))
    found = both_ways(tmp_path, monkeypatch, data.encode(), sanitize=STEPS)
    assert found["counts"][2] > 0, "somebody was to stay forgotten"
    assert all(step["affected_samples"] for step in found["steps"])
    assert found["counts"][1] > 20


@pytest.mark.parametrize(
    "options",
    [
        {"subject_columns": ("note", "nate")},
        {"sanitize": [{"step": "strip_keys", "keys": ["note", "nate"]}]},
        {"sanitize": [{"step": "filter_by_length", "key": key, "max_len": 10**6} for key in ("note", "nate")]},
        {"sanitize": [{"step": "near_deduplicate", "key": "nate"}]},
    ],
    ids=["subjects", "strip", "filter", "near"],
)
def test_a_column_that_no_row_has_is_refused_and_one_that_some_have_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    data = "\n".join(messy_lines(100)).encode()
    found = both_ways(tmp_path, monkeypatch, data, **options)
    assert found["error"][0] == "invalid_input"
    assert "no row has the" in found["error"][1]
    assert "column 'nate'" in found["error"][1]


def test_keys_that_come_again_are_set_aside_by_the_line_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = "\r\n".join(messy_lines(200, id=lambda number: number if number % 90 else "again")).encode("utf-16")
    found = both_ways(tmp_path, monkeypatch, data, key="id")
    assert b"stands on line" in found["aside"][0]


def test_splits_that_a_column_says_are_kept_by_every_row_and_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ("train", " Dev", "TEST", "fold 4")
    data = "\n".join(messy_lines(150, part=lambda number: said[number % 4], n=lambda number: number)).encode()
    steps = [step for step in STEPS if step["step"] != "deduplicate"]
    found = both_ways(tmp_path, monkeypatch, data, split_column="part", sanitize=steps)
    meant = {0: "train", 1: "validation", 2: "test"}
    assert {row.split for row, _ in found["rows"]} == {*meant.values()}
    assert all(row.split == meant[row.values["n"] % 4] and "part" not in row.values for row, _ in found["rows"])
    assert b"split column 'part' says neither" in found["aside"][0]
    assert b"fold 4" in found["aside"][0]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([*messy_lines(80), '{"text": "of another shape"}'], {}, "mixes rows of different shapes"),
        ([*messy_lines(40)[40:], *["{oops"]], {"on_error": "stop"}, "Nothing was imported"),
        ([*messy_lines(80)], {"sanitize": [{"step": "strip_keys", "keys": ["prompt"]}]}, "would take away"),
        (["{oops"] * 3000, {}, "no usable row"),
    ],
)
def test_errors_are_those_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[str], options: dict[str, Any], message: str
) -> None:
    found = both_ways(tmp_path, monkeypatch, "\n".join(rows).encode(), **options)
    assert message in found["error"][1]


def test_a_process_that_is_killed_is_an_error_and_none_is_left_behind() -> None:
    with Workers(2) as some:
        answers = some.map(len, ["a", "bb", "ccc"] * 10)
        assert next(answers) == 1
        for worker in some._started:
            worker.process.kill()
        with pytest.raises(InternalError, match="a process that reads rows ended"):
            list(answers)
    assert all(worker.process.returncode is not None for worker in some._started)
    with pytest.raises((Cancelled, InternalError)):
        list(some.map(len, ["a"]))
