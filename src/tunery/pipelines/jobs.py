"""The durable job of a stage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import tunery.pipelines.tokenizers  # noqa: F401 # registers who finds a model's tokenizer
from tunery.pipelines.operations import base_source, finish_stage, get_pipeline
from tunery.pipelines.recipe import parse_recipe
from tunery.pipelines.results import build_result
from tunery.pipelines.stages import STAGE_FUNCTIONS, Work
from tunery.platform.jobs import JobContext, job

__all__ = ["run_stage"]


@job("pipelines.stage", heavy=True)
def run_stage(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Carry out one stage; the next one is enqueued with its outcome. A stage that stands is not done again."""
    pipeline_id, name = str(payload["pipeline_id"]), str(payload["stage"])
    with context.ground.database.session(context.tenant_id, read_only=True) as session:
        row = get_pipeline(session, pipeline_id)
    outcomes = {stage.name: stage.outcome for stage in row.stages if stage.outcome is not None}
    if name in outcomes:
        return outcomes[name]
    recipe = parse_recipe(row.recipe)
    base = replace(base_source(recipe, row.inputs), text=row.base)
    work = Work(row.id, recipe, row.inputs, base, outcomes | {"key": {"key": row.key}}, row.may_promote)
    outcome = STAGE_FUNCTIONS[name](context, work)
    last = row.stages[-1].name == name
    result = build_result(context, work, outcomes | {name: outcome}) if last else None
    context.check_cancelled()
    with context.session() as session:
        row = get_pipeline(session, pipeline_id)
        stage = next(stage for stage in row.stages if stage.name == name)
        if stage.finished_at is None:
            finish_stage(session, context.actor, row, stage, outcome)
            row.result = result
    return outcome
