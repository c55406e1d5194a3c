"""The recipe's section ``gate``, and the shapes of gates, verdicts and promotions."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tunery.evaluation.metrics import METRICS
from tunery.evaluation.ports import Direction
from tunery.evaluation.schemas import MetricName
from tunery.platform.http import Camel

__all__ = [
    "Criterion",
    "CriterionWish",
    "Finding",
    "GateCheck",
    "GateCreate",
    "GateSection",
    "GateView",
    "Outcome",
    "Promotion",
    "Ruling",
    "VerdictView",
]

Outcome = Literal["pass", "fail", "missing"]


class Criterion(Camel):
    """One thing a version must show: a threshold on a metric, a margin over a baseline, or both."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, loc_by_alias=False)

    metric: str = Field(max_length=100, description="Name of the metric.")
    direction: Direction | None = Field(
        None, description="Which way is better; taken from the metric where it is not given."
    )
    threshold: float | None = Field(
        None, description="The score must be at least this (at most, where lower is better)."
    )
    margin: float | None = Field(
        None,
        description="The score must be better than the baseline's on the same rows by at least this; a negative margin "
        "allows to be that much worse.",
    )
    baseline: str = Field(
        "base",
        min_length=1,
        max_length=200,
        description="What the margin is over: `base` (the base model), or a version, `name:1.0.0`.",
    )
    min_samples: int = Field(20, ge=1, description="Rows that must have been measured, at least.")
    confidence: bool = Field(
        False, description="Not the improvement but the lower end of its 95 % interval must exceed the margin."
    )

    @property
    def better(self) -> Direction | None:
        """The direction stated, else the metric's own."""
        return self.direction or METRICS.get(self.metric).direction

    def resolved(self) -> Criterion:
        """Return the criterion as it is kept: with its direction, so that it can be read without the metric."""
        return Criterion.model_validate({**self.model_dump(), "direction": self.better})


class CriterionWish(Criterion):
    """A criterion as people write it; it must be decidable with the metrics there are."""

    metric: MetricName = Field(description="Name of the metric.")

    @model_validator(mode="after")
    def _decidable(self) -> Self:
        if self.threshold is None and self.margin is None:
            raise ValueError(f"the criterion on {self.metric} needs a threshold or a margin")
        if self.margin is None and (self.confidence or self.baseline != "base"):
            raise ValueError(f"the criterion on {self.metric} names a baseline or confidence, but no margin over it")
        if self.better is None:
            raise ValueError(f"{self.metric} does not say which way is better; state direction: higher or lower")
        return self


class GateSection(BaseModel):
    """What the tuned model must show before it is promoted or deployed."""

    model_config = ConfigDict(extra="forbid")

    criteria: list[CriterionWish] = Field(min_length=1, max_length=100, description="All of them must pass.")


class Finding(Camel):
    """What a gate found on one criterion: the outcome with its numbers."""

    model_config = ConfigDict(frozen=True)

    criterion: Criterion
    outcome: Outcome = Field(description="pass, fail, or missing where the evidence is absent, unusable or too little.")
    reason: str = Field(description="One sentence.")
    value: float | None = Field(None, description="Score of the version.")
    baseline_value: float | None = Field(None, description="Score of the baseline on the same rows.")
    improvement: float | None = Field(None, description="How much better than the baseline; negative is worse.")
    ci_low: float | None = Field(None, description="Lower end of the improvement's 95 % interval.")
    ci_high: float | None = Field(None, description="Upper end of the improvement's 95 % interval.")
    p_value: float | None = Field(None, description="Two-sided p-value of the difference.")
    n: int | None = Field(None, description="Rows measured.")


class Ruling(Camel):
    """A gate's decision: passed only if there is a criterion and every one passes."""

    model_config = ConfigDict(frozen=True)

    passed: bool
    findings: tuple[Finding, ...]


class GateCreate(Camel):
    """A wish to keep criteria under a name."""

    name: str = Field(description="Name of the gate.")
    description: str = Field("", max_length=10_000)
    criteria: list[CriterionWish] = Field(min_length=1, max_length=100, description="All of them must pass.")


class GateCheck(Camel):
    """A wish to hold a version against a gate."""

    version: str = Field(max_length=200, description="Model version: `name:1.0.0` or its id.")
    evaluation_id: str | None = Field(
        None, max_length=100, description="Evaluation to judge; the version's newest completed one where not given."
    )


class VerdictEvaluation(Camel):
    """An evaluation that a verdict rests on."""

    evaluation_id: str
    model_reference: str
    predictions_digest: str | None


class VerdictView(Camel):
    """What a gate decided on a version, with the evidence it saw."""

    id: str
    gate_name: str
    criteria: list[Criterion]
    model_version_id: str
    model_reference: str
    manifest_digest: str = Field(description="Digest of the version that was judged; a promotion needs the same.")
    passed: bool
    findings: list[Finding]
    evaluations: dict[str, VerdictEvaluation] = Field(description="By role: `candidate`, and each baseline.")
    created_by: str
    created_at: datetime


class GateView(Camel):
    """A gate and its newest verdicts."""

    id: str
    name: str
    description: str
    criteria: list[Criterion]
    verdicts: list[VerdictView] = Field(default_factory=list, description="The newest first; only in `gates.get`.")
    created_by: str
    created_at: datetime


class Promotion(Camel):
    """A wish to move a version's stage."""

    to_stage: str = Field(max_length=20, description="testing, staging or production upwards; or another stage.")
    verdict_id: str | None = Field(
        None, max_length=100, description="Passing verdict to rest on; the version's newest one where not given."
    )
    seen_stage: str | None = Field(
        None, max_length=20, description="Stage that you saw; the move is refused if it has changed since."
    )
