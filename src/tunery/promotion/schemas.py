"""The recipe's section ``gate``, and the verdict that a gate gives."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tunery.evaluation.metrics import METRICS
from tunery.evaluation.ports import Direction
from tunery.evaluation.schemas import check_metric

__all__ = ["Criterion", "Finding", "GateSection", "Outcome", "Ruling"]

Outcome = Literal["pass", "fail", "missing"]


class Criterion(BaseModel):
    """One thing a version must show: a threshold on a metric, a margin over a baseline, or both."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    metric: str = Field(description="Name of the metric.")
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
        "base", min_length=1, description="What the margin is over: base (the base model), or a version name:1.0.0."
    )
    min_samples: int = Field(20, ge=1, description="Rows that must have been measured, at least.")
    confidence: bool = Field(
        False,
        description="Not the improvement but the lower end of its 95 % interval must exceed the margin.",
    )

    @field_validator("metric")
    @classmethod
    def _metric_exists(cls, name: str) -> str:
        if fault := check_metric(name):
            raise ValueError(fault)
        return name

    @model_validator(mode="after")
    def _decidable(self) -> Self:
        if self.threshold is None and self.margin is None:
            raise ValueError(f"the criterion on {self.metric} needs a threshold or a margin")
        if self.margin is None and (self.confidence or "baseline" in self.model_fields_set):
            raise ValueError(f"the criterion on {self.metric} names a baseline or confidence, but no margin over it")
        if self.better is None:
            raise ValueError(f"{self.metric} does not say which way is better; state direction: higher or lower")
        return self

    @property
    def better(self) -> Direction | None:
        """The direction stated, else the metric's own."""
        return self.direction or METRICS.get(self.metric).direction


class GateSection(BaseModel):
    """What the tuned model must show before it is promoted or deployed."""

    model_config = ConfigDict(extra="forbid")

    criteria: list[Criterion] = Field(min_length=1, description="All of them must pass.")


class Finding(BaseModel):
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


class Ruling(BaseModel):
    """A gate's decision: passed only if there is a criterion and every one passes."""

    model_config = ConfigDict(frozen=True)

    passed: bool
    findings: tuple[Finding, ...]
