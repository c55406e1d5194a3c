"""What happened, told to higher rooms without knowing them.

``emit`` writes the event and one job per subscriber in the transaction of the deed; the jobs deliver it. A subscriber
may be called twice for one event (a crash in between), so it must be idempotent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from tunery.kit.actor import Actor
from tunery.platform.db.base import Base, Identified, TenantOwned
from tunery.platform.jobs import JobContext, enqueue_job, job

__all__ = ["Event", "emit", "subscriber"]

Subscriber = Callable[[JobContext, dict[str, Any]], None]
_subscribers: dict[str, dict[str, Subscriber]] = defaultdict(dict)


class Event(Identified, TenantOwned, Base):
    """One event: a name such as ``models.stage_moved``, its subject and plain JSON; never changed."""

    __tablename__ = "events"

    name: Mapped[str] = mapped_column(sa.String(100), index=True)
    subject: Mapped[str] = mapped_column(sa.String(200))
    data: Mapped[dict[str, Any]]


def emit(session: Session, actor: Actor, name: str, subject: str, data: dict[str, Any]) -> None:
    """Write an event, and a job for each of its subscribers, in the transaction of the deed."""
    session.add(Event(tenant_id=actor.tenant_id, name=name, subject=subject, data=data))
    for key in _subscribers[name]:
        enqueue_job(session, actor, "events.deliver", {"name": name, "subscriber": key, "data": data}, subject)


def subscriber(name: str) -> Callable[[Subscriber], Subscriber]:
    """Call the decorated function, as a job, for every event of that name."""

    def keep(function: Subscriber) -> Subscriber:
        _subscribers[name][f"{function.__module__}.{function.__qualname__}"] = function
        return function

    return keep


@job("events.deliver")
def _deliver(context: JobContext, payload: dict[str, Any]) -> None:
    function = _subscribers[payload["name"]].get(payload["subscriber"])
    if function is not None:
        function(context, payload["data"])
