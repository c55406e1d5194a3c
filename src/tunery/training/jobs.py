"""The durable job that carries out a run."""

from __future__ import annotations

from typing import Any

from tunery.platform.jobs import JobContext, job
from tunery.training.runs import execute_run

__all__ = ["train"]


@job("training.run", heavy=True)
def train(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Carry out the run that the payload names; after a crash it goes on from its last checkpoint."""
    run = execute_run(context, str(payload["run_id"]))
    return {"run_id": run.id, "files": run.files}
