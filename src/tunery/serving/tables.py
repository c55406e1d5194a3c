"""Deployments.

A row says which version shall answer (the wish), and which one does (the served version). The process that holds the
gateway brings the second to the first and writes what it sees. Crash: the row is the whole truth, so the next start
brings back the served version and goes on with the wish. Erasure: a deleted deployment's row goes; audit and lineage
remember it by its id. Rows belong to one tenant. New columns get defaults; ``revision`` numbers the wishes.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tunery.platform.db import Base, Identified, TenantOwned
from tunery.platform.db.base import Uuid
from tunery.registry.tables import ModelVersion

__all__ = ["Deployment"]


class Deployment(Identified, TenantOwned, Base):
    """A name under which a model version answers."""

    __tablename__ = "deployments"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "name"),)

    name: Mapped[str] = mapped_column(sa.String(96))
    environment: Mapped[str] = mapped_column(sa.String(96), default="local")
    target: Mapped[str] = mapped_column(sa.String(40), default="local")
    engine: Mapped[str] = mapped_column(sa.String(96))
    version_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("model_versions.id"), index=True)
    manifest_digest: Mapped[str] = mapped_column(sa.String(64))
    health_check: Mapped[bool] = mapped_column(default=True)
    revision: Mapped[int] = mapped_column(default=1)
    desired_state: Mapped[str] = mapped_column(sa.String(20), default="running")
    status: Mapped[str] = mapped_column(sa.String(20), default="starting")
    status_reason: Mapped[str | None] = mapped_column(sa.Text)
    served_version_id: Mapped[str | None] = mapped_column(Uuid, sa.ForeignKey("model_versions.id"))
    served_engine: Mapped[str | None] = mapped_column(sa.String(96))
    template_digest: Mapped[str | None] = mapped_column(sa.String(64))
    created_by: Mapped[str] = mapped_column(sa.String(320))
    created_by_id: Mapped[str | None] = mapped_column(Uuid)
    deployed_at: Mapped[datetime | None]

    version: Mapped[ModelVersion] = relationship(foreign_keys=[version_id], lazy="joined")
    served_version: Mapped[ModelVersion | None] = relationship(foreign_keys=[served_version_id], lazy="joined")
