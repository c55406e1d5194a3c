"""Use cases of tracing and erasing; all are audited, and tracing is limited: its answers tell who is in the data."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from tunery import audit
from tunery.audit.tables import AuditEntry
from tunery.datasets.identifiers import FORGOTTEN, PURPOSE, entries_for
from tunery.errors import InvalidInput, NotFound, RateLimited, Refused
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.platform.db import Page, TenantSession, page_of, row_of
from tunery.platform.ground import Ground
from tunery.platform.jobs import Job, enqueue_job
from tunery.registry.holds import decide_hold
from tunery.registry.operations import resolve_version
from tunery.registry.tables import ModelHold
from tunery.subjects.schemas import Decision, EraseWish, Trace
from tunery.subjects.tables import Erasure
from tunery.subjects.tracing import trace_subject

__all__ = ["decide", "get_erasure", "list_erasures", "start_erasure", "trace"]


def trace(ground: Ground, session: TenantSession, actor: Actor, identifier: str) -> Trace:
    """Return everything that saw a person's rows. Raises: RateLimited: too many were asked for within a minute."""
    since = sa.select(sa.func.count()).where(
        AuditEntry.action == "subject_traced",
        AuditEntry.user_id == actor.user_id,
        AuditEntry.created_at > now() - timedelta(minutes=1),
    )
    most = ground.settings.subject_traces_per_minute
    if (session.scalar(since) or 0) >= most:
        raise RateLimited(f"you have traced {most} persons within a minute; wait a minute and go on")
    found = trace_subject(ground, session, identifier)
    audit.record(session, actor, "subject_traced", "subjects", rows=len(found.rows), seen_by=len(found.seen_by))
    return found


def start_erasure(ground: Ground, session: TenantSession, actor: Actor, wish: EraseWish) -> Job:
    """Erase a person's rows as a job. What the job is told are keyed hashes, never the identifier."""
    secrets = ground.blobs.keyring.secrets
    entries = entries_for(wish.identifier, secrets.every(actor.tenant_id, PURPOSE))
    forgotten = entries_for(wish.identifier, [secrets.newest(actor.tenant_id, FORGOTTEN)])
    payload: dict[str, Any] = {
        "entries": [entry.hex() for entry in entries],
        "forgotten": [entry.hex() for entry in forgotten],
        "reason": wish.reason,
    }
    job = enqueue_job(session, actor, "subjects.erase", payload, "subjects")
    audit.record(session, actor, "subject_erasure_started", "subjects", job=job.id)
    return job


def list_erasures(session: TenantSession, limit: int = 50, offset: int = 0) -> Page[Erasure]:
    """Return erasures, the newest first."""
    return page_of(session, sa.select(Erasure).order_by(Erasure.id.desc()), limit, offset)


def get_erasure(session: TenantSession, erasure_id: str) -> Erasure:
    """Return an erasure. Raises: NotFound."""
    return row_of(session, Erasure, erasure_id, "erasure", "`tunery subjects erasures` lists them")


def decide(session: TenantSession, actor: Actor, erasure_id: str, wish: Decision) -> ModelHold:
    """Decide what becomes of a model on hold.

    Raises:
        InvalidInput: The version is not named exactly. NotFound: it is not on hold by this. Refused: it is decided.
    """
    get_erasure(session, erasure_id)
    version = resolve_version(session, wish.version, gone=True)
    if wish.version not in (version.id, version.reference):
        raise InvalidInput(
            f"a decision is for good, so name the version exactly: {version.reference}, if it is that one"
        )
    hold = session.scalars(
        sa.select(ModelHold).where(ModelHold.cause == f"erasures/{erasure_id}", ModelHold.version_id == version.id)
    ).one_or_none()
    if hold is None:
        raise NotFound(f"{version.reference} is not on hold by this erasure; its certificate lists those that are")
    if hold.decision is not None:
        raise Refused(f"this was decided by {hold.decided_by}: {hold.decision}")
    return decide_hold(session, actor, hold, wish.decision, wish.note)
