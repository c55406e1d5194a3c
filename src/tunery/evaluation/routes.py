"""Routes of evaluations."""

from __future__ import annotations

from itertools import islice

from fastapi import Query

from tunery import audit
from tunery.datasets.tables import DatasetVersion
from tunery.errors import Refused
from tunery.evaluation import operations
from tunery.evaluation.predictions import read_predictions
from tunery.evaluation.schemas import (
    ComparisonCreate,
    ComparisonView,
    EvaluationCreate,
    EvaluationView,
    PredictionView,
)
from tunery.platform.db import Page
from tunery.platform.http import Call, Limit, Offset, route

__all__ = ["compare_evaluations", "create_evaluation", "get_evaluation", "list_evaluations", "list_predictions"]


@route("evaluations.create", "POST", "/evaluations", permission="evaluations:create", status=202)
def create_evaluation(call: Call, body: EvaluationCreate) -> EvaluationView:
    """Measure a model version on a split of a dataset version; a job does the work."""
    return EvaluationView.model_validate(operations.submit_evaluation(call.session, call.ground, call.actor, body))


@route("evaluations.list", "GET", "/evaluations", permission="evaluations:read")
def list_evaluations(
    call: Call,
    model: str | None = Query(None, max_length=200, description="Only those of this version: `name:1.0.0` or its id."),
    limit: Limit = 50,
    offset: Offset = 0,
) -> list[EvaluationView]:
    """List evaluations, the newest first."""
    return call.page(operations.list_evaluations(call.session, model, limit, offset), EvaluationView.model_validate)


@route("evaluations.get", "GET", "/evaluations/{evaluation_id}", permission="evaluations:read")
def get_evaluation(call: Call, evaluation_id: str) -> EvaluationView:
    """Show an evaluation with its scores."""
    return EvaluationView.model_validate(operations.get_evaluation(call.session, evaluation_id))


@route("evaluations.compare", "POST", "/evaluations/compare", permission="evaluations:create")
def compare_evaluations(call: Call, body: ComparisonCreate) -> list[ComparisonView]:
    """Compare two completed evaluations on the same rows, with intervals and p-values."""
    differences = operations.measure_difference(call.ground, call.actor.tenant_id, body.baseline_id, body.candidate_id)
    rows = operations.keep_comparison(call.session, call.actor, body.baseline_id, body.candidate_id, differences)
    return [ComparisonView.model_validate(row) for row in rows]


@route("evaluations.predictions", "GET", "/evaluations/{evaluation_id}/predictions", permission="evaluations:read")
def list_predictions(call: Call, evaluation_id: str, limit: Limit = 50, offset: Offset = 0) -> list[PredictionView]:
    """List what the model was asked, what it answered and what that scored, row by row."""
    row = operations.get_evaluation(call.session, evaluation_id)
    if row.predictions_digest is None:
        raise Refused(f"evaluation {row.id} is {row.status}; its predictions can be seen once it is completed")
    lines = read_predictions(call.ground, call.actor.tenant_id, row.predictions_digest)
    items = list(islice(lines, offset, offset + limit))
    if (version := call.session.get(DatasetVersion, row.dataset_version_id)) is not None:
        audit.record_daily(call.ground.database, call.actor, "dataset_read", version.reference)
    return call.page(Page(items, row.sample_count or 0, limit, offset), PredictionView.model_validate)
