"""Training runs and their loss curves.

A run row is written before its job; it is a plan until it has succeeded, then it never changes. Crash: a running run
goes on from its last checkpoint under the same row. Erasure: the row ids it consumed are kept by digest, so a run can
be told to have seen a row; the row itself is not in here. Rows belong to one tenant. ``config`` and ``metrics`` take
next year's fields.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from tunery.platform.db import Base, Identified, TenantOwned, names_blobs
from tunery.platform.db.base import Uuid
from tunery.registry.tables import ModelVersion

__all__ = ["RunMetric", "TrainingRun"]


def _until_registered(run: type[TrainingRun]) -> sa.ColumnElement[bool]:
    """A version made of the run names its files from then on."""
    return run.id.not_in(sa.select(ModelVersion.run_id).where(ModelVersion.run_id.is_not(None)))


class TrainingRun(Identified, TenantOwned, Base):
    """One training: what was ordered, on which rows, from which base, and what came out."""

    __tablename__ = "training_runs"

    name: Mapped[str] = mapped_column(sa.String(96), index=True)
    method: Mapped[str] = mapped_column(sa.String(50))
    config: Mapped[dict[str, Any]]
    dataset_version_id: Mapped[str] = mapped_column(Uuid, index=True)
    dataset_reference: Mapped[str] = mapped_column(sa.String(200))
    dataset_digest: Mapped[str] = mapped_column(sa.String(64))
    base_version_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("model_versions.id"), index=True)
    base_reference: Mapped[str] = mapped_column(sa.String(200))
    base_digest: Mapped[str] = mapped_column(sa.String(64))
    status: Mapped[str] = mapped_column(sa.String(20), default="queued", index=True)
    failure_reason: Mapped[str | None] = mapped_column(sa.Text)
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    files: Mapped[list[Any]] = mapped_column(default=list, info=names_blobs(_until_registered))
    row_ids_digest: Mapped[str | None] = mapped_column(sa.String(64), info=names_blobs())
    consumed: Mapped[bytes | None] = mapped_column(sa.LargeBinary, deferred=True)
    not_repeatable: Mapped[str | None] = mapped_column(sa.Text)
    job_id: Mapped[str | None] = mapped_column(Uuid)
    created_by: Mapped[str] = mapped_column(sa.String(320))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class RunMetric(Identified, TenantOwned, Base):
    """A point of a run's curves: the training loss of a step, or a validation loss measured after it."""

    __tablename__ = "run_metrics"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "run_id", "name", "step"),)

    run_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("training_runs.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(sa.String(50))
    step: Mapped[int]
    value: Mapped[float]
