"""Datasets, their versions, and the files that these consist of.

Rows lie in files of the store, a Delta log beside the packs says which files make up a version, and the row here says
which commit of the log counts (decision 0009). Crash: files and commits without a row here are seen by nobody; the
store collects the files. Erasure rewrites the files that hold a person's rows; ``status`` of the versions that listed
them becomes ``erased`` and ``successor_id`` names what follows. All rows belong to one tenant. ``provenance`` is JSON
that takes next year's fields.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tunery.platform.db import Base, Identified, TenantOwned, names_blobs
from tunery.platform.db.base import Uuid

__all__ = ["ERASED", "Dataset", "DatasetFile", "DatasetTag", "DatasetVersion", "DatasetVersionFile", "ForgottenSubject"]


ERASED = "erased-"
"""Stands before what names the import of an erased version, for it is not to be found by that again."""


class Dataset(Identified, TenantOwned, Base):
    """A named line of dataset versions; ``current_version`` is the one that its name alone means."""

    __tablename__ = "datasets"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "name"),)

    name: Mapped[str] = mapped_column(sa.String(96))
    description: Mapped[str] = mapped_column(sa.Text, default="")
    current_version: Mapped[int] = mapped_column(default=0)
    last_version: Mapped[int] = mapped_column(default=0)
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
    parent: Mapped[int | None]
    change: Mapped[str] = mapped_column(sa.String(20), default="import")
    import_id: Mapped[str] = mapped_column(sa.String(64))
    delta_version: Mapped[int]
    digest: Mapped[str] = mapped_column(sa.String(64))
    status: Mapped[str] = mapped_column(sa.String(20), default="ready")
    successor_id: Mapped[str | None] = mapped_column(Uuid)
    shape: Mapped[str] = mapped_column(sa.String(20))
    rows: Mapped[dict[str, Any]]
    total_samples: Mapped[int] = mapped_column(sa.BigInteger)
    total_tokens: Mapped[int | None] = mapped_column(sa.BigInteger)
    size_bytes: Mapped[int] = mapped_column(sa.BigInteger)
    source_digest: Mapped[str | None] = mapped_column(sa.String(64), info=names_blobs())
    source_subjects_digest: Mapped[str | None] = mapped_column(sa.String(64), info=names_blobs())
    quarantine_digest: Mapped[str | None] = mapped_column(sa.String(64), info=names_blobs())
    quarantined: Mapped[int] = mapped_column(default=0)
    options: Mapped[dict[str, Any]]
    provenance: Mapped[dict[str, Any]]
    created_by: Mapped[str] = mapped_column(sa.String(320))

    dataset: Mapped[Dataset] = relationship(lazy="joined")
    tagged: Mapped[list[DatasetTag]] = relationship(viewonly=True)

    @property
    def tags(self) -> list[str]:
        """Names that were given to it."""
        return sorted(tag.name for tag in self.tagged)

    @property
    def reference(self) -> str:
        """``name:version``."""
        return f"{self.dataset.name}:{self.version}"

    @property
    def current(self) -> bool:
        """Whether the dataset's name alone means it."""
        return self.version == self.dataset.current_version


class DatasetFile(Identified, TenantOwned, Base):
    """A Parquet file of rows in the store, made by one change and shared by the versions that follow it.

    ``sequence`` orders it among the files of a version; ``subjects_digest`` is the index of the people in it, if there
    are any. Whether any of its rows came without being looked at for people says ``indexed``.
    """

    __tablename__ = "dataset_files"

    dataset_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("datasets.id"), index=True)
    sequence: Mapped[int]
    digest: Mapped[str] = mapped_column(sa.String(64), index=True, info=names_blobs())
    subjects_digest: Mapped[str | None] = mapped_column(sa.String(64), info=names_blobs())
    indexed: Mapped[bool] = mapped_column(default=True)
    rows: Mapped[dict[str, Any]]
    size_bytes: Mapped[int] = mapped_column(sa.BigInteger)

    @property
    def total_rows(self) -> int:
        """Number of its rows."""
        return sum(self.rows.values())


class DatasetVersionFile(Identified, TenantOwned, Base):
    """A version lists a file."""

    __tablename__ = "dataset_version_files"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "version_id", "file_id"),)

    version_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("dataset_versions.id", ondelete="CASCADE"))
    file_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("dataset_files.id"), index=True)


class DatasetTag(Identified, TenantOwned, Base):
    """A name for a version, such as ``gold``; it can be moved."""

    __tablename__ = "dataset_tags"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "dataset_id", "name"),)

    dataset_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("datasets.id"))
    name: Mapped[str] = mapped_column(sa.String(40))
    version_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("dataset_versions.id"), index=True)


class ForgottenSubject(Identified, TenantOwned, Base):
    """An entry, by the key for those who were erased, of an identifier that no import takes in again."""

    __tablename__ = "forgotten_subjects"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "entry"),)

    entry: Mapped[str] = mapped_column(sa.String(40))
