"""Jobs as the use cases see them: enqueue with the deed, cancel, retry."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from tunery.errors import NotFound, Refused
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.platform.db.session import compare_and_set
from tunery.platform.jobs.kinds import JOB_KINDS
from tunery.platform.jobs.tables import Job

__all__ = ["FINISHED", "UNFINISHED", "cancel_job", "enqueue_job", "retry_job"]

FINISHED = frozenset({"succeeded", "failed", "cancelled"})
UNFINISHED = frozenset({"queued", "running"})


def enqueue_job(session: Session, actor: Actor, kind: str, payload: dict[str, Any], subject: str | None = None) -> Job:
    """Write a job row in the caller's transaction; a worker takes it once that is committed.

    Args:
        session: The session of the deed.
        actor: On whose behalf the job runs.
        kind: A registered kind.
        payload: Plain JSON.
        subject: What the job works on, such as ``runs/<id>``.
    """
    JOB_KINDS.get(kind)
    row = Job(
        tenant_id=actor.tenant_id,
        kind=kind,
        payload=payload,
        subject=subject,
        created_by=actor.name,
        created_by_id=actor.user_id,
    )
    session.add(row)
    session.flush()
    return row


def cancel_job(session: Session, job_id: str) -> Job:
    """Ask a job to end: a queued one is cancelled at once, a running one within seconds. Cancelling twice is no error.

    Raises:
        NotFound: No such job. Refused: it has already succeeded or failed.
    """
    row = _existing(session, job_id)
    if row.status in ("cancelled",) or row.cancel_requested_at is not None:
        return row
    if row.status in FINISHED:
        raise Refused(f"job {job_id} has already {row.status}; there is nothing to cancel")
    new: dict[str, Any] = {"cancel_requested_at": now()}
    if row.status == "queued":
        new |= {"status": "cancelled", "finished_at": now()}
    compare_and_set(session, Job, job_id, {"status": row.status}, new)
    return row


def retry_job(session: Session, job_id: str) -> Job:
    """Queue a failed or cancelled job again; it goes on from what it had finished. Others are left as they are."""
    row = _existing(session, job_id)
    if row.status in ("failed", "cancelled"):
        compare_and_set(
            session,
            Job,
            job_id,
            {"status": row.status, "round": row.round},
            {
                "status": "queued",
                "round": row.round + 1,
                "handed_at": None,
                "crashes": 0,
                "error": None,
                "cancel_requested_at": None,
                "finished_at": None,
                "lease_token": None,
            },
        )
    return row


def _existing(session: Session, job_id: str) -> Job:
    row = session.get(Job, job_id, populate_existing=True)
    if row is None:
        raise NotFound(f"there is no job {job_id}")
    return row
