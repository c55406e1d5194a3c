"""Evaluations of a tiny random model and its adapter through the built-in engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluation.conftest import Lab
from tests.weights.conftest import MakeAdapter
from tunery.errors import InvalidInput
from tunery.evaluation.operations import measure_difference
from tunery.evaluation.predictions import read_predictions
from tunery.evaluation.prompts import PromptSpec

# The database makes no difference to an engine.
pytestmark = pytest.mark.parametrize("ground", ["sqlite"], indirect=True)
METRICS = ["token_f1", "perplexity"]


@pytest.fixture
def real(lab: Lab, tiny_llama: Path, make_adapter: MakeAdapter) -> Lab:
    """The lab with ``tiny:1.0.0``, its adapter ``fit:1.0.0`` and a few chats."""
    lab.shelf.register("tiny", tiny_llama, is_base=True)
    lab.shelf.register("fit", make_adapter(tiny_llama), base="tiny")
    rows = [
        {"messages": [{"role": "user", "content": f"{n} {'abcdefgh'[n] * 9}"}, {"role": "assistant", "content": "a b"}]}
        for n in range(8)
    ]
    lab.import_rows(rows, name="chats", test_split=4)
    return lab


def test_base_and_adapter_are_measured_and_compared(real: Lab) -> None:
    base = real.evaluate("tiny", "chats", engine="transformers", metrics=METRICS, max_tokens=4)
    tuned = real.evaluate("fit", "chats", engine="transformers", metrics=METRICS, max_tokens=4)
    assert base.metrics["perplexity"] != pytest.approx(tuned.metrics["perplexity"])
    differences = measure_difference(real.ground, real.actor.tenant_id, base.id, tuned.id)
    assert [one.metric for one in differences] == METRICS
    assert differences[1].value == pytest.approx(tuned.metrics["perplexity"] - base.metrics["perplexity"])
    assert tuned.usage["completion_tokens"] <= 4 * 4


def test_an_engine_that_cannot_score_is_helped_by_one_that_can(real: Lab) -> None:
    alone = real.evaluate("fit", "chats", engine="transformers", metrics=["perplexity"])
    both = real.evaluate("fit", "chats", engine="llama.cpp", metrics=METRICS, max_tokens=4)
    assert (both.usage["text_engine"], both.usage["logprobs_engine"]) == ("llama.cpp", "transformers")
    assert both.metrics["perplexity"] == pytest.approx(alone.metrics["perplexity"], rel=1e-5)
    (kept, *_) = read_predictions(real.ground, real.actor.tenant_id, both.predictions_digest or "")
    assert kept["completion_tokens"] <= 4
    assert kept["logprobs"]


def test_plain_text_is_scored_from_its_second_token_on(real: Lab) -> None:
    real.import_rows([{"text": f"{letter * 5} {n}"} for n, letter in enumerate("abcdefgh")], name="texts", test_split=4)
    prompt = PromptSpec(style="completion")
    row = real.evaluate("tiny", "texts", engine="transformers", metrics=["perplexity"], prompt=prompt)
    assert row.sample_count == 4
    assert row.metrics["perplexity"] > 1


def test_a_row_longer_than_the_context_is_named_and_nothing_is_cut(real: Lab) -> None:
    rows = [{"prompt": letter * 3000 if letter == "h" else letter * 9, "completion": letter} for letter in "abcdefgh"]
    real.import_rows(rows, name="long", test_split=7)
    with pytest.raises(InvalidInput, match=r"the engine refuses 1 of 7 rows: row \w+: "):
        real.evaluate("tiny", "long", engine="llama.cpp", max_tokens=2)
