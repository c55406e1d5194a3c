"""Use cases of training runs: ask for one, look at it, cancel it. The work itself is in ``runs.py``."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from tunery import audit
from tunery.datasets.operations import hold_version as hold_dataset
from tunery.errors import InvalidInput, Refused
from tunery.kit.actor import Actor
from tunery.kit.ids import new_id
from tunery.platform.db import Page, TenantSession, page_of, row_of
from tunery.platform.jobs import UNFINISHED, Job, cancel_job, enqueue_job
from tunery.registry.operations import resolve_version, use_version
from tunery.registry.tables import ModelVersion
from tunery.registry.uses import MOST_NAMED, VERSION_USES
from tunery.training.ports import check_shape
from tunery.training.tables import RunMetric, TrainingRun
from tunery.training.views import RunCreate

__all__ = ["cancel_run", "create_run", "get_run", "list_runs", "run_metrics", "submit_run"]


def create_run(session: TenantSession, actor: Actor, wish: RunCreate, *, run_id: str | None = None) -> TrainingRun:
    """Write a run that ``execute_run`` then carries out; nothing is enqueued.

    Args:
        session: The deed's session.
        actor: Who asks.
        wish: What to train.
        run_id: An id of the caller's choosing makes the call repeatable: what stands under it is returned.

    Raises:
        NotFound: No such dataset or base. Erased: rows of the dataset version were. InvalidInput: the base is an
            adapter, or the method does not learn from rows of the dataset's shape.
    """
    if run_id is not None and (standing := session.get(TrainingRun, run_id)) is not None:
        return standing
    data = hold_dataset(session, wish.dataset)
    check_shape(wish.training.method, data.shape)
    base = resolve_version(session, wish.base)
    use_version(session, base)
    if base.kind == "adapter":
        raise InvalidInput(f"{base.reference} is an adapter; train on its base, or merge it first")
    row = TrainingRun(
        id=run_id or new_id(),
        name=wish.name,
        method=wish.training.method,
        config={**wish.training.model_dump(mode="json"), "save_best_model": wish.save_best_model},
        dataset_version_id=data.id,
        dataset_reference=data.reference,
        dataset_digest=data.digest,
        base_version_id=base.id,
        base_reference=base.reference,
        base_digest=base.manifest_digest,
        created_by=actor.name,
    )
    session.add(row)
    session.flush()
    audit.record(session, actor, "run_created", f"runs/{row.id}", dataset=data.reference, base=base.reference)
    return row


def submit_run(session: TenantSession, actor: Actor, wish: RunCreate) -> TrainingRun:
    """Write a run together with the job that carries it out. Raises: as ``create_run``."""
    row = create_run(session, actor, wish)
    row.job_id = enqueue_job(session, actor, "training.run", {"run_id": row.id}, f"runs/{row.id}").id
    return row


def get_run(session: TenantSession, run_id: str) -> TrainingRun:
    """Return a run. Raises: NotFound."""
    return row_of(session, TrainingRun, run_id, "run", "`tunery runs list` shows what there is")


def list_runs(session: TenantSession, limit: int = 50, offset: int = 0) -> Page[TrainingRun]:
    """Return runs, the newest first."""
    return page_of(session, sa.select(TrainingRun).order_by(TrainingRun.created_at.desc()), limit, offset)


def run_metrics(session: TenantSession, run_id: str) -> Sequence[RunMetric]:
    """Return the points of a run's curves, by name and step."""
    row = get_run(session, run_id)
    statement = sa.select(RunMetric).where(RunMetric.run_id == row.id).order_by(RunMetric.name, RunMetric.step)
    return session.scalars(statement).all()


def cancel_run(session: TenantSession, actor: Actor, run_id: str) -> TrainingRun:
    """End a run after its current step; a checkpoint is written. Raises: Refused: it is over, or a pipeline's."""
    row = get_run(session, run_id)
    if row.job_id is None:
        raise Refused(f"run {row.id} belongs to a pipeline; cancel that one")
    if cancel_job(session, row.job_id).status == "cancelled":
        row.status = "cancelled"
    audit.record(session, actor, "run_cancelled", f"runs/{row.id}")
    return row


@VERSION_USES.register("run")
def _runs_on(session: TenantSession, version: ModelVersion) -> list[str]:
    """Return the ids of runs on a version that are queued or under way; those of a pipeline are that one's."""
    statement = sa.select(TrainingRun.id).join(Job, Job.id == TrainingRun.job_id)
    statement = statement.where(
        TrainingRun.base_version_id == version.id, TrainingRun.status != "succeeded", Job.status.in_(UNFINISHED)
    )
    return list(session.scalars(statement.order_by(TrainingRun.id).limit(MOST_NAMED)))
