"""Shapes of pipelines."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from tunery.platform.http import Camel

__all__ = ["PipelinePlan", "PipelineStart", "PipelineView", "PlannedStage", "StageView", "WaitingBehind"]


class PipelineStart(Camel):
    """A recipe and the bytes it speaks of."""

    recipe: dict[str, Any] = Field(description="The recipe as plain data, as written in YAML.")
    inputs: dict[str, str | dict[str, str]] = Field(
        default_factory=dict,
        description="For each local path in the recipe: the digest of the uploaded file, or of each file of a folder.",
    )
    again: bool = Field(False, description="Make a new pipeline even where this recipe ran on these inputs before.")


class StageView(Camel):
    """One stage and how far it is."""

    name: str
    title: str
    status: str = Field(description="waiting, queued, running, succeeded, failed or cancelled.")
    job_id: str | None = None
    seconds: float | None = Field(None, description="Time worked on it so far, all attempts together.")
    detail: str | None = Field(None, description="One line about what came out.")


class WaitingBehind(Camel):
    """Work whose turn comes first: heavy jobs run one at a time."""

    text: str = Field(description="What it is and how it is cancelled, in one line.")
    job_id: str
    pipeline_id: str | None = Field(None, description="The pipeline that it is a stage of.")
    name: str | None = Field(None, description="Name of that pipeline.")
    stage: str | None = Field(None, description="The stage that it is at.")


class PipelineView(Camel):
    """A pipeline with its stages and, once finished, its result."""

    id: str
    key: str = Field(description="Digest of recipe and inputs: the same command again finds this pipeline.")
    number: int
    name: str
    status: str
    stages: list[StageView]
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    not_repeatable: str | None = Field(
        None, description="Why the same rows cannot be trained on again, and what to do; none: they can."
    )
    created_at: datetime
    finished_at: datetime | None
    waiting_behind: WaitingBehind | None = Field(None, description="What runs before a queued stage; none if nothing.")


class PlannedStage(Camel):
    """What a stage would do."""

    name: str
    title: str
    detail: str
    seconds: float | None = Field(None, description="Estimated; none where it cannot be told.")


class PipelinePlan(Camel):
    """What a recipe would do, how long it would take and how much memory it would need. Nothing was started."""

    name: str
    key: str
    stages: list[PlannedStage]
    seconds: float
    peak_memory_bytes: int
    notes: list[str]
    earlier: str | None = Field(None, description="Status of the pipeline that ran with this key before, if any.")
    not_repeatable: str | None = Field(None, description="Why that pipeline cannot be repeated; none: it can.")
