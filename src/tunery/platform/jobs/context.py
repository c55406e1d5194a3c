"""What a job handler works with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from tunery.errors import Cancelled, StaleState
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground
from tunery.platform.jobs.tables import Job, JobEvent

__all__ = ["JobContext", "LeaseLost"]


class LeaseLost(StaleState):
    """Another worker took this job over; what this one would have written was refused."""


class JobContext:
    """One attempt at one job: its ground, its fenced sessions, its progress, and whether it should end."""

    def __init__(self, ground: Ground, row: Job, lease_token: str, stopping: Callable[[], bool]) -> None:
        self.ground = ground
        self.job_id = row.id
        self.kind = row.kind
        self.attempt = row.attempts
        self.tenant_id = row.tenant_id
        self.actor = Actor(row.tenant_id, row.created_by_id, row.created_by)
        self.lease_token = lease_token
        self._stopping = stopping
        self._asked_at = 0.0
        self._cancelled = False
        self._reported_at = 0.0

    @contextmanager
    def session(self) -> Iterator[TenantSession]:
        """Open a session of the job's tenant that commits only while this attempt still holds the job.

        Raises:
            LeaseLost: Another worker took the job over; nothing is written.
        """
        with self.ground.database.session(self.tenant_id) as session:
            self._fence(session)
            yield session

    def cancelled(self) -> bool:
        """Tell whether the job should end: a person cancelled it, or the worker is shutting down. Cheap to ask."""
        if self._stopping() or self._cancelled:
            return True
        if time.monotonic() - self._asked_at > 1.0:
            self._asked_at = time.monotonic()
            with self.ground.database.session(self.tenant_id, read_only=True) as session:
                row = session.get(Job, self.job_id)
                self._cancelled = row is None or row.cancel_requested_at is not None
        return self._cancelled

    def check_cancelled(self) -> None:
        """Raise Cancelled if the job should end."""
        if self.cancelled():
            raise Cancelled

    def progress(self, data: dict[str, Any], *, always: bool = True) -> None:
        """Report what happens; watchers see it at once and the job row keeps the latest.

        Args:
            data: Plain JSON; ``type`` names the event.
            always: False lets events go that come faster than two a second.
        """
        if not always and time.monotonic() - self._reported_at < 0.5:
            return
        self._reported_at = time.monotonic()
        with self.session() as session:
            session.add(JobEvent(job_id=self.job_id, data=data, at=now()))
            session.execute(sa.update(Job).where(Job.id == self.job_id).values(progress=data, crashes=0))

    def _fence(self, session: TenantSession) -> None:
        held = session.scalar(sa.select(Job.lease_token).where(Job.id == self.job_id).with_for_update())
        if held != self.lease_token:
            raise LeaseLost
