"""Jobs and what they reported.

A job row is written in the transaction of the deed that wants it. Crash: a row that was not handed over is handed over
by the sweep; a running row whose lease ran out is taken over. Erasure: rows go with their tenant. Next year's schema:
payloads carry plain JSON that each kind reads with defaults.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from tunery.kit.clock import now
from tunery.platform.db.base import Base, Identified, TenantOwned, Uuid, names_blobs

__all__ = ["Job", "JobEvent"]


class Job(Identified, TenantOwned, Base):
    """One unit of the queue."""

    __tablename__ = "jobs"
    __table_args__ = (sa.Index("ix_jobs_status_handed_at", "status", "handed_at"),)

    kind: Mapped[str] = mapped_column(sa.String(100))
    payload: Mapped[dict[str, Any]] = mapped_column(info=names_blobs(lambda job: job.status.in_(("queued", "running"))))
    status: Mapped[str] = mapped_column(sa.String(20), default="queued")
    subject: Mapped[str | None] = mapped_column(sa.String(200), index=True)
    created_by: Mapped[str] = mapped_column(sa.String(320), default="system")
    created_by_id: Mapped[str | None] = mapped_column(Uuid)
    progress: Mapped[dict[str, Any] | None]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    round: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    crashes: Mapped[int] = mapped_column(default=0)
    lease_token: Mapped[str | None] = mapped_column(sa.String(36))
    lease_owner: Mapped[str | None] = mapped_column(sa.String(100))
    heartbeat_at: Mapped[datetime | None]
    handed_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    resumed_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    worked_seconds: Mapped[float] = mapped_column(sa.Float, default=0.0)

    @property
    def seconds(self) -> float:
        """Time worked on it, all attempts together; what lay between them does not count."""
        return self.worked_seconds + ((now() - self.resumed_at).total_seconds() if self.resumed_at else 0.0)

    def rest(self, until: datetime | None = None) -> None:
        """Count the attempt that ended now, or at the last heartbeat of a dead worker."""
        if self.resumed_at is not None:
            self.worked_seconds += max(0.0, ((until or now()) - self.resumed_at).total_seconds())
            self.resumed_at = None


class JobEvent(TenantOwned, Base):
    """One thing a job reported, in order; never changed."""

    __tablename__ = "job_events"

    number: Mapped[int] = mapped_column(
        sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    job_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    data: Mapped[dict[str, Any]]
    at: Mapped[datetime]
