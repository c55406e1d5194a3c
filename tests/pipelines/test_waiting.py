"""Who starts a recipe behind other work is told behind what, and how to cancel that."""

from __future__ import annotations

import sqlalchemy as sa

from tests.doors.things import ROWS, recipe
from tests.registry.conftest import Shelf, shelf
from tunery.pipelines.operations import cancel_pipeline, pipeline_view, start_pipeline
from tunery.pipelines.schemas import PipelineStart, PipelineView, WaitingBehind
from tunery.pipelines.tables import Pipeline
from tunery.platform.jobs import Job, JobEvent, enqueue_job

__all__ = ["shelf"]


def start(shelf: Shelf, again: bool = False) -> PipelineView:
    digest = shelf.ground.blobs.put(shelf.actor.tenant_id, ROWS).digest
    wish = PipelineStart(recipe=recipe("small"), inputs={"rows.jsonl": digest}, again=again)
    with shelf.ground.database.session(shelf.actor.tenant_id) as session:
        return pipeline_view(session, start_pipeline(session, shelf.ground, shelf.actor, wish))


def waits_behind(shelf: Shelf, pipeline: PipelineView) -> WaitingBehind | None:
    with shelf.ground.database.session(shelf.actor.tenant_id, read_only=True) as session:
        return pipeline_view(session, session.get_one(Pipeline, pipeline.id)).waiting_behind


def test_a_new_pipeline_names_the_one_before_it_and_how_to_cancel_it(shelf: Shelf) -> None:
    shelf.base()
    first, second = start(shelf), start(shelf, again=True)
    text = f"waiting behind made ({first.id}) at stage import; `tunery pipelines cancel {first.id}` cancels it"
    assert first.waiting_behind is None
    assert second.waiting_behind is not None
    assert second.waiting_behind.text == text
    with shelf.ground.database.session(shelf.actor.tenant_id) as session:
        told = session.scalars(sa.select(JobEvent.data).where(JobEvent.job_id == second.stages[0].job_id)).all()
        cancel_pipeline(session, shelf.actor, first.id)
    assert [(event["type"], event["text"]) for event in told] == [("waiting", text)]
    assert waits_behind(shelf, second) is None


def test_a_job_that_runs_is_named_before_those_that_are_queued_and_light_ones_are_not(shelf: Shelf) -> None:
    shelf.base()
    waiting = start(shelf)
    with shelf.ground.database.session(shelf.actor.tenant_id) as session:
        enqueue_job(session, shelf.actor, "datasets.import", {}).status = "running"
    assert waits_behind(shelf, waiting) is None
    with shelf.ground.database.session(shelf.actor.tenant_id) as session:
        job = enqueue_job(session, shelf.actor, "training.run", {}, "runs/42")
        later = enqueue_job(session, shelf.actor, "training.run", {})
    assert waits_behind(shelf, waiting) is None
    with shelf.ground.database.session(shelf.actor.tenant_id) as session:
        session.get_one(Job, later.id).status = "succeeded"
        session.get_one(Job, job.id).status = "running"
    found = waits_behind(shelf, waiting)
    assert found is not None
    assert found.text == f"waiting behind runs/42 (running); `tunery jobs cancel {job.id}` cancels it"


def test_the_next_stage_does_not_wait_behind_its_own_pipeline(shelf: Shelf) -> None:
    shelf.base()
    made = start(shelf)
    with shelf.ground.database.session(shelf.actor.tenant_id) as session:
        session.get_one(Job, made.stages[0].job_id).status = "running"
        stage = session.get_one(Pipeline, made.id).stages[1]
        stage.job_id = enqueue_job(session, shelf.actor, "pipelines.stage", {}, f"pipelines/{made.id}").id
        session.get_one(Pipeline, made.id).stages[0].finished_at = made.created_at
    assert waits_behind(shelf, made) is None
