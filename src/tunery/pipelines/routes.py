"""Routes of pipelines."""

from __future__ import annotations

from tunery.pipelines import operations
from tunery.pipelines.planning import plan_pipeline
from tunery.pipelines.results import with_sample
from tunery.pipelines.schemas import PipelinePlan, PipelineStart, PipelineView
from tunery.pipelines.tables import Pipeline
from tunery.platform.http import Call, Limit, Offset, route

__all__: list[str] = []


@route("pipelines.start", "POST", "/pipelines", permission="pipelines:create", status=201)
def start(call: Call, body: PipelineStart) -> PipelineView:
    """Start a recipe, or go on with it where it was left."""
    row = operations.start_pipeline(call.session, call.ground, call.actor, body)
    return _shown(call, row)


@route("pipelines.plan", "POST", "/pipelines/plan", permission="pipelines:create")
def plan(call: Call, body: PipelineStart) -> PipelinePlan:
    """Tell what a recipe would do, how long and in how much memory; nothing is started."""
    return plan_pipeline(call.session, call.ground, call.actor, body)


@route("pipelines.list", "GET", "/pipelines", permission="pipelines:read")
def list_pipelines(call: Call, limit: Limit = 50, offset: Offset = 0) -> list[PipelineView]:
    """List pipelines, the newest first."""
    page = operations.list_pipelines(call.session, limit, offset)
    return call.page(page, lambda row: operations.pipeline_view(call.session, row))


@route("pipelines.get", "GET", "/pipelines/{pipeline_id}", permission="pipelines:read")
def get_pipeline(call: Call, pipeline_id: str) -> PipelineView:
    """Show a pipeline with its stages and its result."""
    return _shown(call, operations.get_pipeline(call.session, pipeline_id))


@route("pipelines.cancel", "POST", "/pipelines/{pipeline_id}/cancel", permission="pipelines:create")
def cancel(call: Call, pipeline_id: str) -> PipelineView:
    """End the stage that runs; running the recipe again goes on from there."""
    row = operations.cancel_pipeline(call.session, call.actor, pipeline_id)
    return operations.pipeline_view(call.session, row)


def _shown(call: Call, row: Pipeline) -> PipelineView:
    view = operations.pipeline_view(call.session, row)
    return view.model_copy(update={"result": with_sample(call.ground, call.session, row)})
