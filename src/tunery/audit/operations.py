"""Write audit entries."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from tunery.audit.tables import AuditEntry
from tunery.kit.actor import Actor

__all__ = ["record"]


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
