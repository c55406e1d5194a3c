"""Intervals and p-values: how sure a score, or a difference of two scores on the same rows, is.

| of | interval (95 %) | p-value, two-sided |
|---|---|---|
| a score, rows 0/1 | Wilson | |
| a score, other | BCa bootstrap over rows | |
| a difference, rows 0/1 | BCa bootstrap over pairs of rows | exact McNemar |
| a difference, other | BCa bootstrap over pairs of rows | paired permutation |

Wilson rather than bootstrap where rows are 0 or 1, because 200 right of 200 would bootstrap to the interval [1, 1].
BCa rather than plain percentiles, because ratios and exponentials (perplexity) are skewed. Every draw comes from a
fixed seed: the same rows give the same numbers. With fewer than two rows a bootstrap says nothing: no interval.

Sources: Wilson 1927, JASA 22, 209-212. Efron 1987, "Better Bootstrap Confidence Intervals", JASA 82, 171-185. McNemar
1947, Psychometrika 12, 153-157, exact (binomial) form. Permutation: Yeh 2000, "More accurate tests for the statistical
significance of result differences", COLING; its +1 correction: Phipson and Smyth 2010.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal, TypeAlias

from tunery.errors import InvalidInput
from tunery.evaluation.ports import Answer, Direction, Metric

if TYPE_CHECKING:
    from tunery.evaluation.ports import FloatArray

__all__ = [
    "Difference",
    "Score",
    "bootstrap_interval",
    "compare",
    "mcnemar_p_value",
    "pair_rows",
    "score",
    "wilson_interval",
]

SEED = 20_261_121
REPLICAS = 4_000
PERMUTATIONS = 9_999
JACKKNIFE_GROUPS = 1_000
_CELLS = 4_000_000
"""Most weights held at once (32 MB)."""

_Z = NormalDist().inv_cdf(0.975)

Interval: TypeAlias = tuple[float, float] | None
Aggregate: TypeAlias = "Callable[[FloatArray], FloatArray]"


@dataclass(frozen=True)
class Score:
    """A metric over ``n`` rows with its 95 % interval; the bounds are None where the rows allow none."""

    metric: str
    direction: Direction | None
    value: float
    ci_low: float | None
    ci_high: float | None
    n: int


@dataclass(frozen=True)
class Difference:
    """A metric of a candidate minus that of a baseline, on the same ``n`` rows.

    Attributes:
        value: ``candidate - baseline``; whether more is better says ``direction``.
        ci_low: Lower bound of its 95 % interval; None where the rows allow none.
        p_value: Two-sided, that rows alone make such a difference.
        test: The test that gave the p-value.
    """

    metric: str
    direction: Direction | None
    baseline: float
    candidate: float
    value: float
    ci_low: float | None
    ci_high: float | None
    p_value: float
    test: Literal["mcnemar_exact", "paired_permutation"]
    n: int


def score(metric: Metric, answers: Sequence[Answer]) -> Score:
    """Score the answers with their interval. Raises: InvalidInput: no answers, or one that cannot be measured."""
    measured = metric.measure(answers)
    n, value = len(answers), measured.score
    if metric.binary:
        bounds: Interval = wilson_interval(round(value * n), n)
    else:
        bounds = bootstrap_interval(measured.aggregate, n)
    low, high = bounds or (None, None)
    return Score(metric.name, metric.direction, value, low, high, n)


def compare(metric: Metric, baseline: Mapping[str, Answer], candidate: Mapping[str, Answer]) -> Difference:
    """Compare two models on the same rows, given as answers by row id.

    Raises:
        InvalidInput: The two are not answers to the same rows (names how many are unpaired), or cannot be measured.
    """
    import numpy as np

    pairs = pair_rows(baseline, candidate)
    n = len(pairs)
    # Both sides in one measurement, so that rows can be exchanged between the sides of a pooled score too.
    measured = metric.measure([left for left, _ in pairs] + [right for _, right in pairs])

    def difference(left: FloatArray, right: FloatArray) -> FloatArray:
        """Score weights of (candidate, baseline) rows against the weights of the opposite side."""
        first = measured.aggregate(np.concatenate([left, right], axis=1))
        return measured.aggregate(np.concatenate([right, left], axis=1)) - first

    zeros, ones = np.zeros((1, n)), np.ones((1, n))
    low_side = float(measured.aggregate(np.concatenate([ones, zeros], axis=1))[0])
    high_side = float(measured.aggregate(np.concatenate([zeros, ones], axis=1))[0])
    if not (math.isfinite(low_side) and math.isfinite(high_side)):
        raise InvalidInput(f"{metric.name} over {n} rows is {low_side} and {high_side}: no measurement to compare")
    value = high_side - low_side
    bounds = bootstrap_interval(lambda weights: difference(weights, np.zeros_like(weights)), n)
    low, high = bounds or (None, None)
    test: Literal["mcnemar_exact", "paired_permutation"] = "mcnemar_exact" if metric.binary else "paired_permutation"
    if metric.binary:
        gained = measured.values[n:] - measured.values[:n]
        p_value = mcnemar_p_value(int((gained > 0).sum()), int((gained < 0).sum()))
    else:
        p_value = _permutation_p_value(difference, value, n)
    return Difference(metric.name, metric.direction, low_side, high_side, value, low, high, p_value, test, n)


def pair_rows(baseline: Mapping[str, Answer], candidate: Mapping[str, Answer]) -> list[tuple[Answer, Answer]]:
    """Pair the answers by row id, in the order of the ids.

    Raises:
        InvalidInput: Rows stand on one side only, or two rows of one id have different references; says how many.
    """
    only_left, only_right = len(baseline.keys() - candidate.keys()), len(candidate.keys() - baseline.keys())
    if only_left or only_right:
        raise InvalidInput(
            f"{only_left + only_right} rows are unpaired ({only_left} only in the baseline, {only_right} only in the "
            "candidate); compare evaluations of the same rows of one dataset version",
            only_baseline=only_left,
            only_candidate=only_right,
        )
    pairs = [(baseline[row_id], candidate[row_id]) for row_id in sorted(baseline)]
    differing = sum(left.reference != right.reference for left, right in pairs)
    if differing:
        raise InvalidInput(
            f"{differing} of {len(pairs)} rows have another reference in the candidate than in the baseline; "
            "compare evaluations of one dataset version"
        )
    return pairs


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share. Source: Wilson 1927; score interval without continuity correction."""
    share, z2 = successes / n, _Z * _Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def mcnemar_p_value(gained: int, lost: int) -> float:
    """Return the exact two-sided p-value of ``gained`` against ``lost`` discordant rows; 1 where there are none.

    Source: McNemar 1947; exact: twice the binomial tail P(X <= min) with X ~ Bin(gained + lost, 1/2), at most 1.
    """
    discordant = gained + lost
    tail = sum(math.comb(discordant, k) for k in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / (1 << discordant))


def bootstrap_interval(aggregate: Aggregate, n: int) -> Interval:
    """Return the 95 % BCa bootstrap interval of ``aggregate`` over ``n`` rows, or None for fewer than two rows.

    Source: Efron 1987, equations 2.3 and 6.6 (acceleration by jackknife, over groups of rows where n is large).
    """
    import numpy as np

    if n < 2:
        return None
    point = float(aggregate(np.ones((1, n)))[0])
    replicas = np.sort(np.concatenate([aggregate(weights) for weights in _resamples(n)]))
    slack = 1e-12 * max(1.0, abs(point))
    if replicas[-1] - replicas[0] <= slack:
        return point, point
    below = (replicas < point - slack).sum() + 0.5 * (np.abs(replicas - point) <= slack).sum()
    bias = NormalDist().inv_cdf(min(max(below, 1.0), REPLICAS - 1.0) / REPLICAS)
    acceleration = _acceleration(aggregate, n)

    def quantile(z: float) -> float:
        shifted = bias + (bias + z) / (1 - acceleration * (bias + z))
        return float(np.quantile(replicas, NormalDist().cdf(shifted)))

    return quantile(-_Z), quantile(_Z)


def _acceleration(aggregate: Aggregate, n: int) -> float:
    import numpy as np

    groups = min(n, JACKKNIFE_GROUPS)
    group_of_row = np.arange(n) % groups
    step = max(1, _CELLS // n)
    left_out = []
    for start in range(0, groups, step):
        chunk = np.arange(start, min(start + step, groups))
        left_out.append(aggregate((group_of_row[None, :] != chunk[:, None]).astype(np.float64)))
    deviation = np.concatenate(left_out)
    deviation = deviation.mean() - deviation
    spread, skew = float((deviation**2).sum()), float((deviation**3).sum())
    return skew / (6 * math.pow(spread, 1.5)) if spread > 0 else 0.0


def _resamples(n: int) -> Iterator[FloatArray]:
    """Yield how often each of n rows was drawn, [replicas, n] piece by piece, REPLICAS in all."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    for size in _pieces(REPLICAS, n):
        drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _permutation_p_value(difference: Callable[[FloatArray, FloatArray], FloatArray], observed: float, n: int) -> float:
    """Swap the two sides of random rows and count differences at least as large: (1 + count) / (1 + PERMUTATIONS)."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    slack = 1e-12 * max(1.0, abs(observed))
    extreme = 0
    for size in _pieces(PERMUTATIONS, n):
        kept = rng.integers(2, size=(size, n)).astype(np.float64)
        extreme += int((np.abs(difference(kept, 1 - kept)) >= abs(observed) - slack).sum())
    return (1 + extreme) / (1 + PERMUTATIONS)


def _pieces(total: int, n: int) -> Iterator[int]:
    step = max(1, _CELLS // n)
    for start in range(0, total, step):
        yield min(step, total - start)
