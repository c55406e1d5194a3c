"""Deployments from inside a job, and what happens to them when a version is archived."""

from __future__ import annotations

import time
from typing import Any

from tunery.errors import EngineFailed, NotFound, StaleState, Unavailable
from tunery.platform.events import subscriber
from tunery.platform.jobs import JobContext
from tunery.serving.operations import deployment_view, stop_deployments_of
from tunery.serving.schemas import DeploymentView
from tunery.serving.tables import Deployment

__all__ = ["execute_deployment"]

_LOOK_SECONDS = 0.25


def execute_deployment(context: JobContext, deployment_id: str) -> DeploymentView:
    """Wait until a deployment answers with the version it shall serve. Calling it again after a crash is fine.

    Raises:
        EngineFailed: It failed; the reason is named, and an earlier version goes on answering.
        StaleState: Somebody pointed it at another version, or stopped it, meanwhile.
        NotFound: Somebody deleted it. Cancelled: the job shall end. Unavailable: no process of the gateway took it up.
    """
    deadline = time.monotonic() + 2 * context.ground.settings.engine_start_seconds
    revision = None
    while True:
        with context.ground.database.session(context.tenant_id, read_only=True) as session:
            row = session.get(Deployment, deployment_id)
            if row is None:
                raise NotFound(f"the deployment {deployment_id} was deleted while it started")
            view = deployment_view(row)
        revision = revision or row.revision
        if row.revision != revision or row.desired_state != "running":
            raise StaleState(f"the deployment {row.name!r} was changed by somebody else while it started")
        if row.status == "ready":
            return view
        if row.status == "failed":
            raise EngineFailed(f"the deployment {row.name!r} failed: {row.status_reason}", deployment=row.name)
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the deployment {row.name!r} does not start; is `tunery serve` running on this database?"
            )
        context.check_cancelled()
        context.progress({"type": "deploying", "deployment": row.name, "status": row.status}, always=False)
        time.sleep(_LOOK_SECONDS)


@subscriber("models.stage_moved")
def _stop_archived(context: JobContext, data: dict[str, Any]) -> None:
    if data["to"] != "archived":
        return
    with context.session() as session:
        stop_deployments_of(session, context.actor, data["version_id"], "its version was archived")
