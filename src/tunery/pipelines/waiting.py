"""What a queued stage waits behind: heavy jobs run one at a time on a worker, first come, first served."""

from __future__ import annotations

import sqlalchemy as sa

from tunery.pipelines.schemas import WaitingBehind
from tunery.pipelines.tables import Pipeline
from tunery.platform.db import TenantSession
from tunery.platform.jobs import JOB_KINDS, UNFINISHED, Job

__all__ = ["waiting_behind"]


def waiting_behind(session: TenantSession, job: Job) -> WaitingBehind | None:
    """Return the heavy work of this tenant whose turn is before a queued job's; none where nothing is to be seen."""
    if job.status != "queued":
        return None
    heavy = [name for name, kind in JOB_KINDS if kind.heavy]
    line = sa.select(Job).where(Job.kind.in_(heavy), Job.status.in_(UNFINISHED))
    # The end of a pipeline's stage writes the next one's job before its own has ended.
    others = line.where(sa.or_(Job.subject.is_distinct_from(job.subject), Job.id == job.id))
    turn = (Job.status.desc(), sa.nulls_last(Job.handed_at.asc()), Job.created_at, Job.id)
    first = session.scalars(others.order_by(*turn).limit(1)).first()
    return None if first is None or first.id == job.id else _described(session, first)


def _described(session: TenantSession, job: Job) -> WaitingBehind:
    pipeline = session.get(Pipeline, job.payload["pipeline_id"]) if job.kind == "pipelines.stage" else None
    if pipeline is None:
        text = f"waiting behind {job.subject or job.kind} ({job.status}); `tunery jobs cancel {job.id}` cancels it"
        return WaitingBehind(job_id=job.id, text=text)
    stage = str(job.payload["stage"])
    text = (
        f"waiting behind {pipeline.name} ({pipeline.id}) at stage {stage}; "
        f"`tunery pipelines cancel {pipeline.id}` cancels it"
    )
    return WaitingBehind(job_id=job.id, pipeline_id=pipeline.id, name=pipeline.name, stage=stage, text=text)
