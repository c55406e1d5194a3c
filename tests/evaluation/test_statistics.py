"""Intervals hold what they promise, p-values equal those of the books, and everything repeats."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tunery.errors import InvalidInput
from tunery.evaluation import statistics
from tunery.evaluation.metrics import METRICS
from tunery.evaluation.ports import Answer
from tunery.evaluation.statistics import bootstrap_interval, compare, mcnemar_p_value, score, wilson_interval

FloatArray = np.ndarray


def texts(predictions: list[str], references: list[str]) -> dict[str, Answer]:
    return {f"r{i:04}": Answer(p, r) for i, (p, r) in enumerate(zip(predictions, references, strict=True))}


def mean_of(values: FloatArray) -> statistics.Aggregate:
    return lambda weights: (weights @ values) / weights.sum(axis=1)


def test_wilson_equals_the_published_example() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3: 81/263 -> 0.2553 to 0.3662
    low, high = wilson_interval(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_all_right_is_not_certain() -> None:
    # z²/(n + z²) = 3.8415/203.8415 = 0.0188 below 1
    low, high = wilson_interval(200, 200)
    assert low == pytest.approx(1 - 3.841459 / 203.841459)
    assert high == 1.0


def test_mcnemar_is_the_exact_binomial() -> None:
    # 6 discordant, 1 against: 2·(C(6,0) + C(6,1)) / 2^6 = 2·7/64
    assert mcnemar_p_value(5, 1) == 14 / 64
    assert mcnemar_p_value(0, 0) == 1.0
    assert mcnemar_p_value(3, 3) == 1.0
    assert mcnemar_p_value(0, 2_000) == 0.5**1999


def test_a_score_carries_interval_and_number_of_rows() -> None:
    answers = list(texts(["a"] * 30 + ["b"] * 10, ["a"] * 40).values())
    result = score(METRICS.get("exact_match"), answers)
    assert (result.value, result.n) == (0.75, 40)
    assert (result.ci_low, result.ci_high) == wilson_interval(30, 40)


def test_one_row_has_no_bootstrap_interval() -> None:
    result = score(METRICS.get("token_f1"), [Answer("a cat", "cat sat")])
    assert (result.ci_low, result.ci_high, result.n) == (None, None, 1)


def test_the_same_rows_give_the_same_numbers() -> None:
    rng = np.random.default_rng(5)
    words = ["red", "green", "blue"]
    references = [words[i] for i in rng.integers(3, size=60)]
    left = texts([words[i] for i in rng.integers(3, size=60)], references)
    right = texts([r if rng.random() < 0.6 else "red" for r in references], references)
    assert compare(METRICS.get("f1_score"), left, right) == compare(METRICS.get("f1_score"), left, right)


def test_the_interval_of_a_skewed_mean_covers_as_promised() -> None:
    # 300 samples of 40 exponential values (mean 1). Binomial noise of 300 trials at 0.95 is 0.0126, and BCa at n = 40
    # covers about 0.93 of this skewed mean: fewer than 0.90 would be a fault of ours.
    rng = np.random.default_rng(11)
    held = 0
    for _ in range(300):
        low, high = bootstrap_interval(mean_of(rng.exponential(size=40)), 40) or (0, 0)
        held += low <= 1 <= high
    assert 0.90 <= held / 300 <= 0.985


def test_the_interval_of_a_difference_of_shares_covers_as_promised() -> None:
    # Pairs: both right 0.3, only candidate 0.3, only baseline 0.1, none 0.3 -> true difference 0.2.
    rng = np.random.default_rng(12)
    held = 0
    for _ in range(300):
        kinds = rng.choice(4, p=[0.3, 0.3, 0.1, 0.3], size=80)
        left = texts(["y" if kind in (0, 2) else "n" for kind in kinds], ["y"] * 80)
        right = texts(["y" if kind in (0, 1) else "n" for kind in kinds], ["y"] * 80)
        result = compare(METRICS.get("exact_match"), left, right)
        assert result.ci_low is not None
        assert result.ci_high is not None
        held += result.ci_low <= 0.2 <= result.ci_high
    assert 0.90 <= held / 300 <= 0.985


def test_the_permutation_p_value_is_uniform_where_the_models_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    # Under equality P(p <= 0.1) is 0.1; over 300 samples its standard error is 0.017.
    monkeypatch.setattr(statistics, "PERMUTATIONS", 499)
    monkeypatch.setattr(statistics, "REPLICAS", 10)
    rng = np.random.default_rng(13)
    words = ["one", "two", "three", "four"]
    small = 0
    for _ in range(300):
        picks = [[" ".join(rng.choice(words, 3)) for _ in range(30)] for _ in range(3)]
        result = compare(METRICS.get("token_f1"), texts(picks[0], picks[2]), texts(picks[1], picks[2]))
        small += result.p_value <= 0.1
    assert 0.04 <= small / 300 <= 0.16


def test_a_comparison_of_shares_uses_mcnemar() -> None:
    references = ["y"] * 40
    left = texts(["y"] * 10 + ["n"] * 30, references)
    right = texts(["n"] * 1 + ["y"] * 16 + ["n"] * 23, references)
    result = compare(METRICS.get("exact_match"), left, right)
    # gained 7 (rows 10-16), lost 1 (row 0): 2·(C(8,0) + C(8,1)) / 2^8 = 18/256; difference (16 - 10)/40
    assert result.test == "mcnemar_exact"
    assert result.p_value == 18 / 256
    assert result.value == pytest.approx(6 / 40)
    assert (result.baseline, result.candidate, result.n) == (10 / 40, 16 / 40, 40)
    assert result.ci_low is not None
    assert result.ci_low < 6 / 40 < (result.ci_high or 0)


def test_a_difference_of_pooled_scores_is_the_difference_of_the_scores() -> None:
    references = ["a", "a", "b", "c", "b", "a"]
    left = texts(["a", "b", "b", "a", "x", "c"], references)
    right = texts(["a", "a", "b", "c", "b", "b"], references)
    f1 = METRICS.get("f1_score")
    result = compare(f1, left, right)
    assert result.baseline == pytest.approx(f1.measure(list(left.values())).score)
    assert result.candidate == pytest.approx(f1.measure(list(right.values())).score)
    assert result.test == "paired_permutation"


def test_equal_models_differ_by_nothing() -> None:
    same = texts(["a", "b c"], ["a", "b"])
    result = compare(METRICS.get("token_f1"), same, same)
    assert (result.value, result.ci_low, result.ci_high, result.p_value) == (0, 0, 0, 1)


def test_the_smallest_p_value_is_one_in_all_permutations() -> None:
    # 40 rows all better: only 2 of 2^40 sign patterns are as extreme, so the estimate is (1 + 0)/(1 + 9999).
    result = compare(METRICS.get("token_f1"), texts(["x"] * 40, ["a b"] * 40), texts(["b"] * 40, ["a b"] * 40))
    assert result.p_value == pytest.approx(1e-4)


def test_perplexities_are_compared_over_pooled_tokens() -> None:
    def rows(*rates: float) -> dict[str, Answer]:
        return {str(i): Answer("", "ref", (math.log(rate),) * (i + 1)) for i, rate in enumerate(rates)}

    # baseline: (1·ln 4 + 2·ln 4 + 3·ln 4)/6 -> 4; candidate: all 1/2 -> 2
    result = compare(METRICS.get("perplexity"), rows(0.25, 0.25, 0.25), rows(0.5, 0.5, 0.5))
    assert (result.baseline, result.candidate, result.value) == pytest.approx((4, 2, -2))
    assert result.direction == "lower"


def test_unpaired_rows_are_an_error_that_names_how_many() -> None:
    left, right = texts(["a"] * 5, ["a"] * 5), texts(["a"] * 3, ["a"] * 3)
    right["another"] = Answer("a", "a")
    with pytest.raises(InvalidInput, match=r"3 rows are unpaired \(2 only in the baseline, 1 only in the candidate\)"):
        compare(METRICS.get("exact_match"), left, right)


def test_rows_with_different_references_are_not_pairs() -> None:
    with pytest.raises(InvalidInput, match="1 of 2 rows have another reference"):
        compare(METRICS.get("exact_match"), texts(["a", "a"], ["a", "b"]), texts(["a", "a"], ["a", "c"]))


def test_no_rows_cannot_be_compared() -> None:
    with pytest.raises(InvalidInput, match="no rows"):
        compare(METRICS.get("exact_match"), {}, {})
