"""Models on hold: a person must decide what becomes of them before they are promoted again."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import sqlalchemy as sa

from tunery import audit
from tunery.errors import Refused
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.platform.db import TenantSession
from tunery.plugins import Registry
from tunery.registry.tables import ModelHold, ModelVersion

__all__ = ["RUN_HOLDS", "check_not_held", "decide_hold", "inherit_holds", "place_hold", "why_held"]

RUN_HOLDS: Registry[Callable[[TenantSession, str], Iterable[tuple[str, str]]]] = Registry("run_holds")
"""Who knows why models of a run (by its id) must wait: returns causes and reasons, and lets none come before the
transaction ends."""


def place_hold(session: TenantSession, actor: Actor, version: ModelVersion, cause: str, reason: str) -> None:
    """Put a version on hold; repeating it changes nothing.

    Args:
        session: The deed's session.
        actor: Who brought it about.
        version: The version.
        cause: What brought it about, such as ``erasures/<id>``.
        reason: What is to be decided, in a sentence.
    """
    known = sa.select(ModelHold).where(ModelHold.version_id == version.id, ModelHold.cause == cause)
    if session.scalars(known).one_or_none() is None:
        session.add(ModelHold(version_id=version.id, cause=cause, reason=reason))
        audit.record(session, actor, "model_held", version.reference, cause=cause)


def inherit_holds(session: TenantSession, actor: Actor, version: ModelVersion) -> None:
    """Put a new version on hold for whatever its base waits for, or models of its run.

    Its base is held still by this transaction, and has inherited the holds of what it came from itself.
    """
    of_base = sa.select(ModelHold).where(ModelHold.version_id == version.base_version_id, _STANDS)
    causes = [(hold.cause, hold.reason) for hold in session.scalars(of_base.order_by(ModelHold.id))]
    if version.run_id is not None:
        causes += [each for _, holds in RUN_HOLDS for each in holds(session, version.run_id)]
    for cause, reason in causes:
        place_hold(session, actor, version, cause, reason)


_STANDS = sa.or_(ModelHold.decision.is_(None), ModelHold.decision != "exception")


def decide_hold(session: TenantSession, actor: Actor, hold: ModelHold, decision: str, note: str) -> ModelHold:
    """Record a person's decision. Only ``exception`` lets the version be promoted again."""
    hold.decision, hold.note = decision, note
    hold.decided_by, hold.decided_at = actor.name, now()
    audit.record(session, actor, "model_hold_decided", hold.version_id, cause=hold.cause, decision=decision)
    return hold


def check_not_held(session: TenantSession, version: ModelVersion) -> None:
    """Raise Refused while a person has to decide about a version, or has decided against it."""
    if (why := why_held(session, version)) is not None:
        raise Refused(why)


def why_held(session: TenantSession, version: ModelVersion) -> str | None:
    """Return why a version is not promoted, and how that is decided; None: it may be."""
    held = sa.select(ModelHold).where(ModelHold.version_id == version.id, _STANDS)
    for hold in session.scalars(held.order_by(ModelHold.id)):
        if hold.decision is None:
            command = f"tunery subjects decide {hold.cause.rpartition('/')[2]} {version.reference}"
            return (
                f"{version.reference} is on hold: {hold.reason}. Decide with "
                f"`{command} --decision retrain --note '...'` (or retire, exception)"
            )
        return f"{version.reference} is to {hold.decision}, as {hold.decided_by} decided: {hold.note}"
    return None
