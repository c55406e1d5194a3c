"""Every sanitising step, built in or a stranger's, keeps the port's promises (DAT-05, DAT-15)."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.datasets.test_splits import make_texts
from tunery.datasets.rows import Row
from tunery.datasets.sanitize import SANITIZERS, PreprocessingStep, Sanitation
from tunery.datasets.shapes import Shape
from tunery.kit.digests import canonical_json

PARAMETERS: dict[str, dict[str, Any]] = {
    "strip_keys": {"keys": ["name"]},
    "filter_by_length": {"min_len": 5, "max_len": 900},
    "filter_language": {"languages": ["en", "de"]},
    "decontaminate": {"against": ["held-out:1"]},
    "check_leakage": {"against": ["held-out:1"], "on_leak": "warn"},
}
"""What a step must be told; a new one that needs nothing needs no line."""

steps = pytest.mark.parametrize("name", SANITIZERS.names())
unhurried = settings(max_examples=25, suppress_health_check=list(HealthCheck))

HELD_OUT = [
    "the evaluation asks a question of more than thirteen words so that a run of it can be found elsewhere",
    "short question",
]
HOSTILE = [
    "", " ", "\n" * 50, "\x00", "\u202egnp.exe", "a" * 20_000, "ab " * 5_000, "#" * 3_000, "…" * 3_000,
    "- one\n- two\n- three\n- four\n- five\n" * 5, "🙂" * 500, "你好世界" * 300, "(" * 2_000, "<script>",
    "' OR 1=1 --", "{{7*7}}", "%s%s%n", "=cmd|'calc'!A0", "a\u0301" * 1_000, "\r\n".join("x" * n for n in range(99)),
    "1234567890 " * 300, "A.B.C.D." * 400, "@" * 2_000, "http://" * 500, "Aa1" * 3_000, HELD_OUT[0], HELD_OUT[1],
]  # fmt: skip


class Sources:
    """An evaluation set of two rows, and a key."""

    scratch: Path | None = None

    def rows(self, reference: str) -> Iterator[tuple[str, Shape, dict[str, Any]]]:
        yield from ((f"e{number}", "text", {"text": text}) for number, text in enumerate(HELD_OUT))

    def standing(self) -> Iterator[Row]:
        return iter(())

    def tokenizer(self, reference: str) -> bytes:
        raise AssertionError("no step of these needs one")

    def key(self, purpose: str) -> bytes:
        return b"k" * 32


def sanitized(name: str, rows: list[Row]) -> tuple[list[Row], PreprocessingStep]:
    step = SANITIZERS.get(name).model_validate({"step": name} | PARAMETERS.get(name, {}))
    sanitation = Sanitation([step], "text", Sources())
    left = list(sanitation.run(iter(rows)))
    return left, sanitation.records()[0]


def rows_of(texts: list[str], **more: Any) -> list[Row]:
    return [Row(f"r{number}", number, {"text": text, **more}) for number, text in enumerate(texts, start=1)]


def check_promises(name: str, rows: list[Row]) -> list[Row]:
    before = pickle.dumps(rows)
    left, record = sanitized(name, rows)
    places = {row.row_id: place for place, row in enumerate(rows)}
    order = [places[row.row_id] for row in left]
    assert order == sorted(set(order)), "ids are kept, each once, in order"
    assert [row.line for row in left] == [rows[place].line for place in order]
    assert pickle.dumps(rows) == before, "the rows given are left as they are"
    changed = sum(row.values != rows[place].values for row, place in zip(left, order, strict=True))
    gone = len(rows) - len(left)
    if not SANITIZERS.get(name).removes_rows:
        assert gone == 0
    assert record.affected_samples >= gone + changed
    assert set(record.examples) <= set(places)
    assert bool(record.examples) == bool(record.affected_samples)
    assert record.step == name
    assert record.description
    assert record.seconds >= 0
    canonical_json(record.model_dump(mode="json"))
    again, _ = sanitized(name, rows)
    assert again == left, "the same rows and parameters give the same result"
    return left


def test_the_promised_steps_are_there() -> None:
    assert set(SANITIZERS.names()) >= {
        "strip_keys", "filter_by_length", "deduplicate", "near_deduplicate", "filter_language", "filter_quality",
        "filter_profanity", "decontaminate", "check_leakage",
    }  # fmt: skip


@steps
def test_a_crowd_of_rows(name: str) -> None:
    texts = make_texts(30, 1, seed=1)
    texts += [f"Please send the invoice number {n} to my office by the end of the week." for n in range(40)]
    texts += [f"Bitte schicken Sie die Rechnung {n} bis Ende der Woche an mein Büro." for n in range(10)]
    rows = rows_of([*texts, *texts[:10]], name="Ann")
    random.Random(4).shuffle(rows)
    left = check_promises(name, rows)
    twice, _ = sanitized(name, left)
    assert twice == left, "a second time there is nothing left to do"


@steps
def test_hostile_texts(name: str) -> None:
    check_promises(name, rows_of(HOSTILE))


@steps
@unhurried
@given(texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=200), max_size=8))
def test_whatever_the_texts_are(name: str, texts: list[str]) -> None:
    check_promises(name, rows_of(texts))


@steps
def test_no_row_and_one_row(name: str) -> None:
    left, record = sanitized(name, [])
    assert (left, record.affected_samples, record.examples) == ([], 0, [])
    check_promises(name, rows_of(["The delivery arrived two days late and the box was open."]))


@steps
def test_a_step_that_looks_at_one_row_at_a_time_may_be_shared_by_processes(name: str) -> None:
    step = SANITIZERS.get(name).model_validate({"step": name} | PARAMETERS.get(name, {}))
    ready = pickle.loads(pickle.dumps(step.prepare(Sources())))
    assert ready.model_dump() == step.model_dump()
    if not step.row_local:
        return
    rows = rows_of(HOSTILE + make_texts(5, 1, seed=2), name="Ann")
    whole, record = sanitized(name, rows)
    halves = [sanitized(name, part) for part in (rows[:13], rows[13:])]
    assert [row for part, _ in halves for row in part] == whole
    assert sum(part.affected_samples for _, part in halves) == record.affected_samples


@steps
@pytest.mark.parametrize("shape", ["chat", "completion"])
def test_every_common_shape_is_read(name: str, shape: Shape) -> None:
    values = {
        "chat": {
            "messages": [{"role": "user", "content": "What is this?"}, {"role": "assistant", "content": "A box."}]
        },
        "completion": {"prompt": "What is this?", "completion": "A box."},
    }
    step = SANITIZERS.get(name).model_validate({"step": name} | PARAMETERS.get(name, {}))
    rows = [Row("a", 1, values[shape]), Row("b", 2, values[shape] | {"note": None})]
    found = list(Sanitation([step], shape, Sources()).run(rows))
    assert [row.row_id for row in found] in (["a", "b"], ["a"])
