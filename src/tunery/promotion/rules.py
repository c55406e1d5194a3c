"""Whether measurements satisfy a gate. What is missing, not a number or too little is never a pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tunery.evaluation.statistics import Difference, Score
from tunery.promotion.schemas import Criterion, Finding, Outcome, Ruling

__all__ = ["Evidence", "decide", "is_upward"]

_LADDER = ("development", "testing", "staging", "production")
_SLACK = 1e-12
"""Forgives the rounding of differences: 0.3 - 0.2 is a little less than 0.1 in binary."""


@dataclass(frozen=True)
class Evidence:
    """What was measured of one version.

    Attributes:
        scores: Its scores by metric.
        differences: Its differences (version minus baseline) by metric and baseline.
    """

    scores: Mapping[str, Score] = field(default_factory=dict)
    differences: Mapping[tuple[str, str], Difference] = field(default_factory=dict)


def decide(criteria: Sequence[Criterion], evidence: Evidence) -> Ruling:
    """Judge each criterion. No criteria, no pass: a gate that asks nothing has shown nothing."""
    findings = tuple(_judge(criterion, evidence) for criterion in criteria)
    return Ruling(passed=bool(findings) and all(f.outcome == "pass" for f in findings), findings=findings)


def is_upward(stage: str, to_stage: str) -> bool:
    """Tell whether a move goes towards production; only such moves need a verdict."""
    ladder = {name: height for height, name in enumerate(_LADDER)}
    return to_stage in ladder and ladder[to_stage] > ladder.get(stage, -1)


def _judge(criterion: Criterion, evidence: Evidence) -> Finding:
    parts = []
    if criterion.threshold is not None:
        parts.append(_threshold(criterion, criterion.threshold, evidence.scores.get(criterion.metric)))
    if criterion.margin is not None:
        difference = evidence.differences.get((criterion.metric, criterion.baseline))
        parts.append(_margin(criterion, criterion.margin, difference))
    worst = next((part for part in parts if part.outcome == "missing"), None) or next(
        (part for part in parts if part.outcome == "fail"), parts[-1]
    )
    numbers = {name: value for part in parts for name, value in _numbers(part).items()}
    return worst.model_copy(update={**numbers, "reason": "; ".join(part.reason for part in parts)})


def _threshold(criterion: Criterion, threshold: float, score: Score | None) -> Finding:
    if score is None:
        return _finding(criterion, "missing", f"{criterion.metric} was not measured")
    value = _finite(score.value)
    if value is None:
        return _finding(criterion, "missing", f"{criterion.metric} is {score.value}, no measurement", n=score.n)
    if score.n < criterion.min_samples:
        return _finding(criterion, "missing", _too_few(criterion, score.n), value=value, n=score.n)
    higher = criterion.better == "higher"
    passed = value >= threshold - _SLACK if higher else value <= threshold + _SLACK
    reason = (
        f"{criterion.metric} is {value:.4g} on {score.n} rows, {'as' if passed else 'not as'} asked: "
        f"at {'least' if higher else 'most'} {threshold:.4g}"
    )
    return _finding(criterion, "pass" if passed else "fail", reason, value=value, n=score.n)


def _margin(criterion: Criterion, margin: float, difference: Difference | None) -> Finding:
    over = f"{criterion.metric} over {criterion.baseline}"
    if difference is None:
        return _finding(criterion, "missing", f"{over} was not measured on the same rows")
    sign = 1 if criterion.better == "higher" else -1
    improvement = _finite(sign * difference.value + 0.0)  # + 0.0 turns -0.0 into 0.0
    bounds = [_finite(sign * bound) for bound in (difference.ci_low, difference.ci_high) if bound is not None]
    whole = [bound for bound in bounds if bound is not None]
    low, high = (min(whole), max(whole)) if len(whole) == 2 else (None, None)
    numbers = {
        "value": _finite(difference.candidate),
        "baseline_value": _finite(difference.baseline),
        "improvement": improvement,
        "ci_low": low,
        "ci_high": high,
        "p_value": _finite(difference.p_value),
    }
    if improvement is None:
        return _finding(criterion, "missing", f"{over} is {difference.value}, no measurement", n=difference.n)
    if difference.n < criterion.min_samples:
        return _finding(criterion, "missing", _too_few(criterion, difference.n), n=difference.n, **numbers)
    if criterion.confidence and low is None:
        return _finding(criterion, "missing", f"{over} has no 95 % interval", n=difference.n, **numbers)
    if criterion.confidence and low is not None:
        passed, bound = low > margin, f"the lower end of its 95 % interval, {low:+.4g}, above {margin:+.4g}"
    else:
        passed, bound = improvement >= margin - _SLACK, f"at least {margin:+.4g}"
    reason = (
        f"{over} improved by {improvement:+.4g} on {difference.n} rows, {'as' if passed else 'not as'} asked: {bound}"
    )
    return _finding(criterion, "pass" if passed else "fail", reason, n=difference.n, **numbers)


def _finding(
    criterion: Criterion, outcome: Outcome, reason: str, *, n: int | None = None, **numbers: float | None
) -> Finding:
    return Finding(criterion=criterion, outcome=outcome, reason=reason, n=n, **numbers)


def _numbers(finding: Finding) -> dict[str, float | None]:
    found = finding.model_dump(include={"value", "baseline_value", "improvement", "ci_low", "ci_high", "p_value", "n"})
    return {name: value for name, value in found.items() if value is not None}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _too_few(criterion: Criterion, n: int) -> str:
    return f"{criterion.metric} was measured on {n} rows; {criterion.min_samples} are needed"
