"""Deployments from inside a job."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tests.serving.conftest import Stage, until
from tunery.errors import Cancelled, EngineFailed, NotFound, StaleState
from tunery.kit.ids import new_id
from tunery.platform.jobs import Job, JobContext
from tunery.platform.jobs.worker import Worker
from tunery.registry.operations import move_stage
from tunery.serving.jobs import execute_deployment
from tunery.serving.operations import delete_deployment


def context_of(stage: Stage, *, stopping: bool = False) -> JobContext:
    """A job that runs, held by a lease."""
    lease = new_id()
    with stage.ground.database.session(stage.actor.tenant_id) as session:
        row = Job(kind="test", payload={}, status="running", lease_token=lease, created_by=stage.actor.name)
        session.add(row)
        session.flush()
    return JobContext(stage.ground, row, lease, lambda: stopping)


def test_a_job_waits_until_the_deployment_answers(stage: Stage) -> None:
    view = stage.wish(stage.shelf.adapter())
    done = execute_deployment(context_of(stage), view.id)
    assert (done.status, done.served_version) == ("ready", "tuned:1.0.0")
    assert stage.pool.resolve(stage.actor.tenant_id, "tuned")[1].reference == "tuned:1.0.0"


def test_a_job_fails_with_the_deployments_reason(stage: Stage) -> None:
    view = stage.wish(stage.mute_adapter())
    with pytest.raises(EngineFailed, match="the health check failed"):
        execute_deployment(context_of(stage), view.id)


def test_a_job_ends_when_the_wish_is_no_longer_its_own(stage: Stage) -> None:
    stage.pool.stop()
    view = stage.wish(stage.shelf.adapter(1), "live")
    with pytest.raises(Cancelled):
        execute_deployment(context_of(stage, stopping=True), view.id)

    class Overtaken(JobContext):
        def check_cancelled(self) -> None:
            stage.wish(stage.shelf.adapter(2), "live")

    context = context_of(stage)
    context.__class__ = Overtaken
    with pytest.raises(StaleState):
        execute_deployment(context, view.id)
    with stage.ground.database.session(stage.actor.tenant_id) as session:
        delete_deployment(session, stage.actor, "live")
    with pytest.raises(NotFound):
        execute_deployment(context_of(stage), view.id)


def test_archiving_a_version_stops_its_deployments(stage: Stage) -> None:
    version = stage.shelf.adapter()
    stage.deploy(version)
    with stage.ground.database.session(stage.actor.tenant_id) as session:
        for seen, to in [("development", "deprecated"), ("deprecated", "archived")]:
            move_stage(session, stage.actor, version.id, seen, to)
        jobs = session.scalars(sa.select(Job).where(Job.status == "queued")).all()
    for job in jobs:
        Worker(stage.ground).carry_out(job.id, job.round)
    assert stage.look("tuned").status == "stopped"
    assert stage.look("tuned").status_reason == "its version was archived"
    until(lambda: not stage.pool.deployments(stage.actor.tenant_id))
