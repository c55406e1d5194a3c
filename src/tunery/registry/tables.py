"""Models, their versions, and the keys that sign them.

A version row is written in one transaction after its bytes lie in the store, so a crash leaves unseen bytes and no
half-made version. Manifest and signature never change; stage and status move by compare-and-set. Erasure removes a
version's bytes and leaves the row as a tombstone (``status`` = ``erased``). All rows belong to one tenant. Manifests
carry ``schema``; ``details`` takes next year's fields.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tunery.platform.db import Base, Identified, TenantOwned, names_blobs
from tunery.platform.db.base import Uuid

__all__ = ["GONE", "Model", "ModelHold", "ModelVersion", "SigningKey"]


GONE = ("deleted", "erased")
"""Status of versions that are out of sight: an erased one's bytes were destroyed for good."""


class Model(Identified, TenantOwned, Base):
    """A named line of versions (R1's ``fine_tuned_models``; its marketplace columns come with the marketplace)."""

    __tablename__ = "models"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "name"),)

    name: Mapped[str] = mapped_column(sa.String(96))
    description: Mapped[str] = mapped_column(sa.Text, default="")
    kind: Mapped[str] = mapped_column(sa.String(20))
    base_model_name: Mapped[str | None] = mapped_column(sa.String(255))
    architecture: Mapped[str | None] = mapped_column(sa.String(100))
    category: Mapped[str | None] = mapped_column(sa.String(100), index=True)
    tags: Mapped[list[str]] = mapped_column(default=list)
    language: Mapped[list[str]] = mapped_column(default=list)
    license: Mapped[str | None] = mapped_column(sa.String(100))
    visibility: Mapped[str] = mapped_column(sa.String(20), default="private")
    current_version: Mapped[str] = mapped_column(sa.String(64), default="0.0.0")
    created_by: Mapped[str] = mapped_column(sa.String(320))

    versions: Mapped[list[ModelVersion]] = relationship(back_populates="model")


class ModelVersion(Identified, TenantOwned, Base):
    """One immutable version of a model: what it is, which bytes, from which base, how far it has come."""

    __tablename__ = "model_versions"
    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "model_id", "version"),
        sa.Index("ix_model_versions_tenant_digest", "tenant_id", "manifest_digest"),
    )

    model_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("models.id"), index=True)
    version: Mapped[str] = mapped_column(sa.String(64))
    kind: Mapped[str] = mapped_column(sa.String(20))
    status: Mapped[str] = mapped_column(sa.String(20), default="ready", index=True)
    stage: Mapped[str] = mapped_column(sa.String(20), default="development", index=True)
    manifest: Mapped[dict[str, Any]] = mapped_column(info=names_blobs(lambda version: version.status.not_in(GONE)))
    manifest_digest: Mapped[str] = mapped_column(sa.String(64))
    signature: Mapped[dict[str, Any]]
    size_bytes: Mapped[int] = mapped_column(sa.BigInteger)
    base_version_id: Mapped[str | None] = mapped_column(Uuid, sa.ForeignKey("model_versions.id"), index=True)
    base_digest: Mapped[str | None] = mapped_column(sa.String(64))
    source_digest: Mapped[str | None] = mapped_column(sa.String(64), index=True)
    run_id: Mapped[str | None] = mapped_column(Uuid, index=True)
    parent_version_id: Mapped[str | None] = mapped_column(Uuid)
    changelog: Mapped[str] = mapped_column(sa.Text, default="")
    breaking: Mapped[bool] = mapped_column(default=False)
    was_in_production: Mapped[bool] = mapped_column(default=False)
    details: Mapped[dict[str, Any]]
    scores: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_by: Mapped[str] = mapped_column(sa.String(320))
    evaluated_at: Mapped[datetime | None]

    model: Mapped[Model] = relationship(back_populates="versions", lazy="joined")

    @property
    def reference(self) -> str:
        """``name:version``."""
        return f"{self.model.name}:{self.version}"


class ModelHold(Identified, TenantOwned, Base):
    """A version that waits for a person's decision, and the decision."""

    __tablename__ = "model_holds"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "version_id", "cause"),)

    version_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("model_versions.id"), index=True)
    cause: Mapped[str] = mapped_column(sa.String(100))
    reason: Mapped[str] = mapped_column(sa.Text)
    decision: Mapped[str | None] = mapped_column(sa.String(20))
    note: Mapped[str] = mapped_column(sa.Text, default="")
    decided_by: Mapped[str | None] = mapped_column(sa.String(320))
    decided_at: Mapped[datetime | None]


class SigningKey(Identified, TenantOwned, Base):
    """The public half of a key that signs a tenant's versions; the private half lies in the home folder, mode 0600."""

    __tablename__ = "signing_keys"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "key_id"),)

    key_id: Mapped[str] = mapped_column(sa.String(64))
    public_key: Mapped[str] = mapped_column(sa.Text)
    revoked_at: Mapped[datetime | None]
