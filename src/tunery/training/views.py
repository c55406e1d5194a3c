"""Shapes of runs as answers show them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from tunery.platform.http import Camel
from tunery.training.schemas import TrainingSection

__all__ = ["RunCreate", "RunMetricView", "RunView"]


class RunCreate(Camel):
    """A wish to train."""

    name: str = Field(max_length=96, description="What the run is for; names need not differ.")
    dataset: str = Field(max_length=200, description="Dataset version: `name`, `name:1` or its id.")
    base: str = Field(max_length=200, description="Registered base: `name:1.0.0` or its id.")
    training: TrainingSection = Field(default_factory=TrainingSection, description="How to train, as in a recipe.")
    save_best_model: bool = Field(True, description="Keep the weights of the best validation loss, not the last ones.")


class RunView(Camel):
    """A training run."""

    id: str
    name: str
    method: str
    status: str = Field(description="queued, running, succeeded, failed or cancelled.")
    failure_reason: str | None
    config: dict[str, Any]
    dataset_version_id: str
    dataset_reference: str
    dataset_digest: str
    base_version_id: str
    base_reference: str
    base_digest: str
    metrics: dict[str, Any] = Field(description="Losses, tokens a second, peak memory, FLOPs, parameters.")
    files: list[dict[str, Any]] = Field(description="Trained files by path and SHA-256.")
    row_ids_digest: str | None = Field(description="SHA-256 of the ids of the rows consumed, in order, one a line.")
    not_repeatable: str | None = Field(description="Why the same run cannot be made again; none: it can.")
    job_id: str | None
    created_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class RunMetricView(Camel):
    """One point of a curve."""

    name: str
    step: int
    value: float
