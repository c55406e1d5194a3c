"""Write audit entries."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tunery.audit.tables import AuditEntry
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.platform.db import Database

__all__ = ["record", "record_daily"]


def record(
    session: Session,
    actor: Actor,
    action: str,
    resource: str,
    *,
    outcome: str = "done",
    environment: str | None = None,
    **details: Any,
) -> None:
    """Write one entry in the transaction of the deed.

    Args:
        session: The deed's session.
        actor: Who did it.
        action: ``noun_verbed`` (R2's words where it has one: ``model_registered``, ``permission_changed``, ...).
        resource: What it was done to, such as ``address-json:1.0.0``.
        outcome: ``done`` or ``denied``.
        environment: The environment concerned, if any.
        details: Plain JSON, no secrets.
    """
    session.add(
        AuditEntry(
            tenant_id=actor.tenant_id,
            user_id=actor.user_id,
            user=actor.name,
            action=action,
            resource=resource[:400],
            outcome=outcome,
            environment=environment,
            source_ip=actor.source_ip[:64],
            user_agent=actor.user_agent[:300],
            details=details,
        )
    )


def record_daily(database: Database, actor: Actor, action: str, *resources: str) -> None:
    """Write an entry for each resource to which this user did not do the same today (UTC) already.

    For what is done often, such as reading: in a transaction of its own, and none that writes where nothing is new.
    """
    today = now().replace(hour=0, minute=0, second=0, microsecond=0)
    same = sa.select(AuditEntry.resource).where(
        AuditEntry.action == action,
        AuditEntry.resource.in_(resources),
        AuditEntry.user == actor.name,
        AuditEntry.created_at >= today,
    )
    with database.session(actor.tenant_id, read_only=True) as session:
        new = sorted({*resources}.difference(session.scalars(same)))
    if new:
        with database.session(actor.tenant_id) as session:
            for resource in new:
                record(session, actor, action, resource)
