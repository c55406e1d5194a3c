"""Pipelines and their stages.

A pipeline is one recipe on one set of inputs; its key is the digest of both, and ``base`` is its base model as it was
pinned when it started. Each stage is a job; the end of one writes its outcome and the next job in one transaction, so a
crash leaves either the old stage or the next one, never none. Erasure: rows go with their tenant; outcomes name things
by id only. Next year's recipes carry another schema.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tunery.platform.db import Base, Identified, TenantOwned, names_blobs
from tunery.platform.db.base import Uuid

__all__ = ["Pipeline", "PipelineStage"]


class Pipeline(Identified, TenantOwned, Base):
    """One recipe, carried out once on one set of inputs."""

    __tablename__ = "pipelines"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "key", "number"),)

    key: Mapped[str] = mapped_column(sa.String(64), index=True)
    number: Mapped[int]
    name: Mapped[str] = mapped_column(sa.String(96))
    recipe: Mapped[dict[str, Any]]
    inputs: Mapped[dict[str, Any]] = mapped_column(info=names_blobs(lambda one: one.finished_at.is_(None)))
    base: Mapped[str] = mapped_column(sa.String(400))
    result: Mapped[dict[str, Any] | None]
    created_by: Mapped[str] = mapped_column(sa.String(320))
    may_promote: Mapped[bool] = mapped_column(default=False)
    finished_at: Mapped[datetime | None]

    stages: Mapped[list[PipelineStage]] = relationship(order_by="PipelineStage.position", lazy="selectin")


class PipelineStage(Identified, TenantOwned, Base):
    """One stage: its job, and what it made, by id."""

    __tablename__ = "pipeline_stages"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "pipeline_id", "position"),)

    pipeline_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("pipelines.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    name: Mapped[str] = mapped_column(sa.String(40))
    job_id: Mapped[str | None] = mapped_column(Uuid)
    outcome: Mapped[dict[str, Any] | None]
    finished_at: Mapped[datetime | None]
