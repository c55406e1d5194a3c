"""Routes of training runs."""

from __future__ import annotations

from tunery.platform.http import Call, Limit, Offset, route
from tunery.training import operations
from tunery.training.views import RunCreate, RunMetricView, RunView

__all__: list[str] = []


@route("runs.create", "POST", "/runs", permission="runs:create", status=201)
def create_run(call: Call, body: RunCreate) -> RunView:
    """Train on a dataset version from a registered base."""
    return RunView.model_validate(operations.submit_run(call.session, call.actor, body))


@route("runs.list", "GET", "/runs", permission="runs:read")
def list_runs(call: Call, limit: Limit = 50, offset: Offset = 0) -> list[RunView]:
    """List training runs, the newest first."""
    return call.page(operations.list_runs(call.session, limit, offset), RunView.model_validate)


@route("runs.get", "GET", "/runs/{run_id}", permission="runs:read")
def get_run(call: Call, run_id: str) -> RunView:
    """Show a training run."""
    return RunView.model_validate(operations.get_run(call.session, run_id))


@route("runs.metrics", "GET", "/runs/{run_id}/metrics", permission="runs:read")
def metrics(call: Call, run_id: str) -> list[RunMetricView]:
    """Show a run's curves: training loss by step, validation loss where it was measured."""
    return [RunMetricView.model_validate(point) for point in operations.run_metrics(call.session, run_id)]


@route("runs.cancel", "POST", "/runs/{run_id}/cancel", permission="runs:create")
def cancel_run(call: Call, run_id: str) -> RunView:
    """End a run after its current step; a checkpoint is kept."""
    return RunView.model_validate(operations.cancel_run(call.session, call.actor, run_id))
