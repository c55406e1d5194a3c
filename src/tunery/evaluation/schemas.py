"""The recipe's section ``evaluation``."""

from __future__ import annotations

from difflib import get_close_matches

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tunery.evaluation.metrics import METRICS
from tunery.evaluation.prompts import PromptSpec

__all__ = ["EvaluationPrompts", "EvaluationSection", "check_metric"]


class EvaluationPrompts(BaseModel):
    """How base and tuned model are asked; each may keep its own best prompt."""

    model_config = ConfigDict(extra="forbid")

    base: PromptSpec = Field(default_factory=PromptSpec, description="How the base model is asked.")
    tuned: PromptSpec = Field(default_factory=PromptSpec, description="How the tuned model is asked.")


class EvaluationSection(BaseModel):
    """What is measured on the held-out rows, and how."""

    model_config = ConfigDict(extra="forbid")

    metrics: list[str] = Field(["exact_match"], min_length=1, description="Names of the metrics to measure.")
    save_best_model: bool = Field(
        True, description="Keep the checkpoint that did best on the validation rows rather than the last one."
    )
    prompts: EvaluationPrompts = Field(default_factory=EvaluationPrompts, description="How each model is asked.")
    engine: str = Field("llama.cpp", description="Name of the inference engine that answers.")
    max_rows: int | None = Field(
        None, ge=1, description="Measure at most this many held-out rows, drawn by row id; all where not given."
    )
    max_tokens: int = Field(256, ge=1, le=65_536, description="Longest answer in tokens.")

    @field_validator("metrics")
    @classmethod
    def _metrics_exist(cls, names: list[str]) -> list[str]:
        faults = [fault for name in names if (fault := check_metric(name))]
        if len(set(names)) < len(names):
            faults.append("a metric is named twice")
        if faults:
            raise ValueError("; ".join(faults))
        return names


def check_metric(name: str) -> str | None:
    """Return what is wrong with a metric's name, with the nearest valid one, or None where it is known."""
    known = METRICS.names()
    if name in known:
        return None
    near = get_close_matches(name, known, n=1)
    return f"there is no metric {name!r}" + (
        f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
    )
