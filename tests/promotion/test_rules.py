"""A gate passes on evidence alone: nothing missing, nothing too little, nothing that is no number."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tunery.evaluation.statistics import Difference, Score
from tunery.promotion.rules import Evidence, decide
from tunery.promotion.schemas import Criterion, CriterionWish, GateSection

numbers = st.floats(-10, 10)
anything = st.floats(allow_nan=True, allow_infinity=True)
higher = st.sampled_from(["exact_match", "token_f1"])


def score(metric: str = "exact_match", value: float = 0.5, n: int = 100) -> Score:
    return Score(metric, "higher", value, None, None, n)


def difference(
    value: float = 0.2, low: float | None = 0.1, high: float | None = 0.3, n: int = 100, metric: str = "exact_match"
) -> Difference:
    return Difference(metric, "higher", 0.3, 0.3 + value, value, low, high, 0.01, "mcnemar_exact", n)


def evidence(one: Score | None = None, over_base: Difference | None = None) -> Evidence:
    return Evidence({one.metric: one} if one else {}, {(over_base.metric, "base"): over_base} if over_base else {})


def outcome(criterion: Criterion, given_evidence: Evidence) -> str:
    ruling = decide([criterion], given_evidence)
    assert ruling.passed == (ruling.findings[0].outcome == "pass")
    return ruling.findings[0].outcome


@st.composite
def criteria(draw: st.DrawFn) -> Criterion:
    threshold, margin = draw(st.none() | numbers), draw(st.none() | numbers)
    if threshold is None and margin is None:
        threshold = draw(numbers)
    return Criterion(
        metric=draw(higher),
        direction=draw(st.sampled_from([None, "higher", "lower"])),
        threshold=threshold,
        margin=margin,
        min_samples=draw(st.integers(1, 200)),
        confidence=margin is not None and draw(st.booleans()),
    )


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    scores = {m: score(m, draw(anything), draw(st.integers(0, 300))) for m in draw(st.sets(higher))}
    differences = {
        (m, "base"): difference(
            draw(anything), draw(st.none() | anything), draw(st.none() | anything), draw(st.integers(0, 300)), m
        )
        for m in draw(st.sets(higher))
    }
    return Evidence(scores, differences)


def test_an_empty_gate_never_passes() -> None:
    assert not decide([], evidence(score(value=1.0), difference(1.0, 1.0, 1.0))).passed
    with pytest.raises(ValidationError):
        GateSection(criteria=[])


def test_an_unmeasured_criterion_is_not_a_pass() -> None:
    assert outcome(Criterion(metric="accuracy", threshold=0.0), evidence(score())) == "missing"
    assert (
        outcome(Criterion(metric="exact_match", margin=-1.0, baseline="other:1.0.0"), evidence(score(), difference()))
        == "missing"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_not_a_pass(value: float) -> None:
    assert outcome(Criterion(metric="exact_match", threshold=-1), evidence(score(value=value))) == "missing"
    assert outcome(Criterion(metric="exact_match", margin=-1), evidence(None, difference(value))) == "missing"
    bad = difference(0.2, value, value)
    assert outcome(Criterion(metric="exact_match", margin=-1, confidence=True), evidence(None, bad)) == "missing"


def test_too_few_rows_are_not_a_pass() -> None:
    criterion = Criterion(metric="exact_match", threshold=0.1, min_samples=101)
    assert outcome(criterion, evidence(score(n=100))) == "missing"
    assert outcome(criterion, evidence(score(n=101))) == "pass"


def test_a_threshold_is_reached_at_equality() -> None:
    assert outcome(Criterion(metric="exact_match", threshold=0.5), evidence(score(value=0.5))) == "pass"
    assert outcome(Criterion(metric="exact_match", threshold=0.5), evidence(score(value=0.499))) == "fail"


def test_a_margin_forgives_the_rounding_of_binary_numbers() -> None:
    assert 0.3 - 0.2 < 0.1
    assert outcome(Criterion(metric="exact_match", margin=0.1), evidence(None, difference(0.3 - 0.2))) == "pass"


def test_with_confidence_the_lower_end_must_exceed_the_margin() -> None:
    criterion = Criterion(metric="exact_match", margin=0.0, confidence=True)
    assert outcome(criterion, evidence(None, difference(0.2, 0.01, 0.4))) == "pass"
    assert outcome(criterion, evidence(None, difference(0.2, 0.0, 0.4))) == "fail"
    assert outcome(criterion, evidence(None, difference(0.2, None, None))) == "missing"


def test_where_lower_is_better_the_upper_end_of_the_difference_is_the_one_to_clear() -> None:
    # Perplexity fell by 3 (interval -5 to -1): an improvement of 3, of 1 at least.
    fell = replace(difference(-3.0, -5.0, -1.0), metric="perplexity", direction="lower")
    finding = decide([Criterion(metric="perplexity", margin=0.9, confidence=True)], evidence(None, fell)).findings[0]
    assert finding.outcome == "pass"
    assert (finding.improvement, finding.ci_low, finding.ci_high) == (3.0, 1.0, 5.0)
    assert outcome(Criterion(metric="perplexity", margin=1.1, confidence=True), evidence(None, fell)) == "fail"


def test_a_criterion_with_threshold_and_margin_needs_both() -> None:
    both = Criterion(metric="exact_match", threshold=0.4, margin=0.1)
    assert outcome(both, evidence(score(value=0.5), difference(0.2))) == "pass"
    assert outcome(both, evidence(score(value=0.3), difference(0.2))) == "fail"
    assert outcome(both, evidence(score(value=0.5), difference(0.05))) == "fail"
    assert outcome(both, evidence(score(value=0.5), None)) == "missing"


def test_a_finding_carries_its_numbers_and_a_sentence() -> None:
    finding = decide([Criterion(metric="exact_match", margin=0.1)], evidence(None, difference(0.2))).findings[0]
    assert (finding.value, finding.baseline_value, finding.n, finding.p_value) == (0.5, 0.3, 100, 0.01)
    assert finding.reason == "exact_match over base improved by +0.2 on 100 rows, as asked: at least +0.1"


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"metric": "exact_mach", "threshold": 1}, "did you mean 'exact_match'"),
        ({"metric": "exact_match"}, "needs a threshold or a margin"),
        ({"metric": "exact_match", "threshold": math.nan}, "finite"),
        ({"metric": "exact_match", "threshold": 0.5, "confidence": True}, "no margin over it"),
        ({"metric": "length_ratio", "threshold": 0.5}, "state direction"),
        ({"metric": "exact_match", "threshold": 0.5, "min_samples": 0}, "greater than or equal to 1"),
        ({"metric": "exact_match", "treshold": 0.5}, "treshold"),
    ],
)
def test_a_criterion_that_cannot_be_decided_is_refused(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        CriterionWish.model_validate(fields)


@given(st.lists(criteria(), max_size=4), evidences())
def test_a_gate_passes_only_if_it_asks_and_everything_passes(asked: list[Criterion], shown: Evidence) -> None:
    ruling = decide(asked, shown)
    assert [finding.criterion for finding in ruling.findings] == asked
    assert ruling.passed == (bool(asked) and all(finding.outcome == "pass" for finding in ruling.findings))
    ruling.model_dump_json()


@given(criteria(), evidences())
def test_a_pass_rests_on_enough_finite_numbers(asked: Criterion, shown: Evidence) -> None:
    finding = decide([asked], shown).findings[0]
    if finding.outcome == "pass":
        assert finding.n is not None
        assert finding.n >= asked.min_samples
        if asked.threshold is not None:
            assert math.isfinite(shown.scores[asked.metric].value)
        if asked.margin is not None:
            assert math.isfinite(shown.differences[asked.metric, "base"].value)


@given(st.lists(criteria(), min_size=1, max_size=4), evidences())
def test_taking_evidence_away_never_makes_a_pass(asked: list[Criterion], shown: Evidence) -> None:
    if not decide(asked, shown).passed:
        for metric in shown.scores:
            less = Evidence({k: v for k, v in shown.scores.items() if k != metric}, shown.differences)
            assert not decide(asked, less).passed
        for key in shown.differences:
            less = Evidence(shown.scores, {k: v for k, v in shown.differences.items() if k != key})
            assert not decide(asked, less).passed


@given(criteria(), st.lists(numbers, min_size=3, max_size=3).map(sorted), numbers, st.floats(0, 5))
def test_better_numbers_never_fail_what_worse_ones_passed(
    asked: Criterion, interval: list[float], value: float, gain: float
) -> None:
    step = gain if asked.better == "higher" else -gain
    low, middle, high = interval
    worse = Evidence(
        {asked.metric: score(asked.metric, value)},
        {(asked.metric, "base"): difference(middle, low, high, metric=asked.metric)},
    )
    better = Evidence(
        {asked.metric: score(asked.metric, value + step)},
        {(asked.metric, "base"): difference(middle + step, low + step, high + step, metric=asked.metric)},
    )
    if decide([asked], worse).passed:
        assert decide([asked], better).passed


@given(criteria(), st.lists(numbers, min_size=3, max_size=3).map(sorted), numbers)
def test_turning_every_sign_and_the_direction_changes_nothing(
    asked: Criterion, interval: list[float], value: float
) -> None:
    low, middle, high = interval
    turned = asked.model_copy(
        update={
            "direction": "lower" if asked.better == "higher" else "higher",
            "threshold": None if asked.threshold is None else -asked.threshold,
        }
    )
    straight = Evidence(
        {asked.metric: score(asked.metric, value)},
        {(asked.metric, "base"): difference(middle, low, high, metric=asked.metric)},
    )
    mirrored = Evidence(
        {asked.metric: score(asked.metric, -value)},
        {(asked.metric, "base"): difference(-middle, -high, -low, metric=asked.metric)},
    )
    assert outcome(asked, straight) == outcome(turned, mirrored)
