"""Datasets and their versions.

A version's rows lie in a Delta table on the disk; the row here says which commit of it counts. Crash: an import that
committed to the table but not here is found again by its import id and taken up; until then nobody sees it. Erasure
makes new versions; ``status`` of an old one becomes ``erased``. All rows belong to one tenant, each dataset has a table
of its own. ``provenance`` is JSON that takes next year's fields.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tunery.platform.db import Base, Identified, TenantOwned, names_blobs
from tunery.platform.db.base import Uuid

__all__ = ["Dataset", "DatasetVersion"]


class Dataset(Identified, TenantOwned, Base):
    """A named line of dataset versions."""

    __tablename__ = "datasets"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "name"),)

    name: Mapped[str] = mapped_column(sa.String(96))
    description: Mapped[str] = mapped_column(sa.Text, default="")
    current_version: Mapped[int] = mapped_column(default=0)
    created_by: Mapped[str] = mapped_column(sa.String(320))


class DatasetVersion(Identified, TenantOwned, Base):
    """One immutable version: which rows, how they came to be, how they are dealt out."""

    __tablename__ = "dataset_versions"
    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "dataset_id", "version"),
        sa.UniqueConstraint("tenant_id", "dataset_id", "import_id"),
    )

    dataset_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("datasets.id"), index=True)
    version: Mapped[int]
    import_id: Mapped[str] = mapped_column(sa.String(64))
    delta_version: Mapped[int]
    digest: Mapped[str] = mapped_column(sa.String(64))
    status: Mapped[str] = mapped_column(sa.String(20), default="ready")
    shape: Mapped[str] = mapped_column(sa.String(20))
    rows: Mapped[dict[str, Any]]
    total_samples: Mapped[int] = mapped_column(sa.BigInteger)
    size_bytes: Mapped[int] = mapped_column(sa.BigInteger)
    source_digest: Mapped[str] = mapped_column(sa.String(64), info=names_blobs())
    quarantine_digest: Mapped[str | None] = mapped_column(sa.String(64), info=names_blobs())
    quarantined: Mapped[int] = mapped_column(default=0)
    options: Mapped[dict[str, Any]]
    provenance: Mapped[dict[str, Any]]
    created_by: Mapped[str] = mapped_column(sa.String(320))

    dataset: Mapped[Dataset] = relationship(lazy="joined")

    @property
    def reference(self) -> str:
        """``name:version``."""
        return f"{self.dataset.name}:{self.version}"
