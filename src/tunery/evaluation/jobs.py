"""The durable job that carries out an evaluation."""

from __future__ import annotations

from typing import Any

from tunery.evaluation.runs import execute_evaluation
from tunery.platform.jobs import JobContext, job

__all__ = ["run_evaluation"]


@job("evaluations.run", heavy=True)
def run_evaluation(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Carry out the evaluation that the payload names; after a crash it goes on with the rows not yet answered."""
    row = execute_evaluation(context, str(payload["evaluation_id"]))
    return {"evaluation_id": row.id, "overall_score": row.overall_score}
