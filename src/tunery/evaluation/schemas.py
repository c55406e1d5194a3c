"""The recipe's section ``evaluation``, and the shapes of evaluations, comparisons and predictions."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, computed_field

from tunery.evaluation.metrics import METRICS
from tunery.evaluation.ports import Direction
from tunery.evaluation.prompts import PromptSpec
from tunery.inference.ports import ENGINES
from tunery.platform.http import Camel

__all__ = [
    "ComparisonCreate",
    "ComparisonView",
    "EvaluationCreate",
    "EvaluationPrompts",
    "EvaluationSection",
    "EvaluationView",
    "MetricName",
    "PredictionView",
    "ScoreView",
]


def _check_name(kind: str, name: str, known: Collection[str]) -> str:
    if name in known:
        return name
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    raise ValueError(f"there is no {kind} {name!r}; {hint}")


def _check_distinct(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("a metric is named twice")
    return names


MetricName = Annotated[str, AfterValidator(lambda name: _check_name("metric", name, METRICS.names()))]
"""Name of a registered metric."""

_Metrics = Annotated[list[MetricName], Field(min_length=1, max_length=100), AfterValidator(_check_distinct)]
_Engine = Annotated[str, AfterValidator(lambda name: _check_name("engine", name, ENGINES.names()))]


class EvaluationPrompts(BaseModel):
    """How base and tuned model are asked; each may keep its own best prompt."""

    model_config = ConfigDict(extra="forbid")

    base: PromptSpec = Field(default_factory=PromptSpec, description="How the base model is asked.")
    tuned: PromptSpec = Field(default_factory=PromptSpec, description="How the tuned model is asked.")


class EvaluationSection(BaseModel):
    """What is measured on the held-out rows, and how."""

    model_config = ConfigDict(extra="forbid")

    metrics: _Metrics = Field(["exact_match"], description="Names of the metrics to measure.")
    save_best_model: bool = Field(
        True, description="Keep the checkpoint that did best on the validation rows rather than the last one."
    )
    prompts: EvaluationPrompts = Field(default_factory=EvaluationPrompts, description="How each model is asked.")
    engine: _Engine | None = Field(
        None, description="Inference engine that answers; the setting `engine` where not given."
    )
    max_rows: int | None = Field(
        None, ge=1, lt=2**31, description="Measure at most this many held-out rows, drawn by row id; else all."
    )
    max_tokens: int = Field(256, ge=1, le=65_536, description="Longest answer in tokens.")


class EvaluationCreate(Camel):
    """A wish to measure a model version on a split of a dataset version."""

    model_version_id: str = Field(max_length=200, description="Id of the version, or its reference, `name:1.0.0`.")
    dataset: str = Field(max_length=200, description="Dataset version: `name`, `name:1` or its id.")
    split: str = Field("test", max_length=50, description="Split that is measured.")
    metrics: _Metrics = Field(["exact_match"], description="Names of the metrics to measure; the first one leads.")
    prompt: PromptSpec = Field(default_factory=PromptSpec, description="How the model is asked.")
    engine: _Engine | None = Field(None, description="Inference engine; the setting `engine` where not given.")
    max_rows: int | None = Field(
        None, ge=1, lt=2**31, description="Measure at most this many rows, drawn by row id; all where not given."
    )
    max_tokens: int = Field(256, ge=1, le=65_536, description="Longest answer in tokens.")


class ScoreView(Camel):
    """One metric with its 95 % interval."""

    metric: str
    direction: Direction | None = Field(description="Which way is better; none where the number alone does not say.")
    value: float
    ci_low: float | None
    ci_high: float | None
    n: int = Field(description="Rows measured.")


class EvaluationView(Camel):
    """An evaluation: what was measured on what, how the model was asked, and what came out."""

    id: str
    model_version_id: str
    model_reference: str
    model_digest: str
    evaluation_type: str
    benchmark_name: str = Field(description="Name of the dataset.")
    benchmark_version: str = Field(description="Version of the dataset.")
    dataset_version_id: str
    split: str
    metric_names: list[str]
    prompt: PromptSpec
    shot_row_ids: list[str] | None = Field(description="Ids of the train rows that were shown as examples.")
    engine: str
    max_rows: int | None
    max_tokens: int
    status: str = Field(description="pending, running, completed, failed or cancelled.")
    failure_reason: str | None
    overall_score: float | None = Field(description="Score of the first metric.")
    task_scores: list[dict[str, Any]]
    metrics: dict[str, Any] = Field(description="Score by metric.")
    scores: list[ScoreView]
    baseline_comparison: dict[str, Any] | None
    sample_count: int | None
    predictions_digest: str | None = Field(description="SHA-256 of the predictions, one JSON object a line.")
    usage: dict[str, Any] = Field(description="Tokens and seconds spent on answers, and the engines that gave them.")
    evaluation_duration: float = Field(description="Seconds of work.")
    job_id: str | None
    created_by: str
    created_at: datetime
    evaluated_at: datetime | None


class PredictionView(Camel):
    """What the model was asked on one row, what it answered and what that scored."""

    row_id: str
    prompt: str | list[dict[str, str]]
    prediction: str
    reference: str
    metrics: dict[str, float]
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish_reason: str | None = None
    seconds: float | None = None
    logprobs: list[float] | None = None


class ComparisonCreate(Camel):
    """A wish to compare two completed evaluations of the same rows."""

    baseline_id: str = Field(max_length=100, description="Evaluation that is compared against.")
    candidate_id: str = Field(max_length=100, description="Evaluation that may be better.")


class ComparisonView(Camel):
    """One metric of the candidate minus that of the baseline on the same rows, with its 95 % interval."""

    baseline_id: str
    candidate_id: str
    metric: str
    direction: Direction | None
    baseline: float
    candidate: float
    difference: float
    ci_low: float | None
    ci_high: float | None
    p_value: float
    test: str
    n: int

    @computed_field(description="Whether the 95 % interval lies on the better side of zero; none where unknown.")  # type: ignore[prop-decorator]
    @property
    def better(self) -> bool | None:
        """Tell whether the candidate is better beyond the interval's doubt."""
        if self.ci_low is None or self.ci_high is None or self.direction is None:
            return None
        return self.ci_low > 0 if self.direction == "higher" else self.ci_high < 0
