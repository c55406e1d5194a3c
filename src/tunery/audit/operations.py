"""Write audit entries."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tunery.audit.tables import AuditEntry
from tunery.kit.actor import Actor
from tunery.kit.clock import now

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


def record_daily(session: Session, actor: Actor, action: str, resource: str, **details: Any) -> None:
    """Write an entry, unless the same user did the same to the same resource today (UTC), for what is done often."""
    today = now().replace(hour=0, minute=0, second=0, microsecond=0)
    same = sa.select(AuditEntry.id).where(
        AuditEntry.tenant_id == actor.tenant_id,
        AuditEntry.action == action,
        AuditEntry.resource == resource[:400],
        AuditEntry.user == actor.name,
        AuditEntry.created_at >= today,
    )
    if session.scalars(same.limit(1)).first() is None:
        record(session, actor, action, resource, **details)
