"""Uploads on their way and how much a tenant may store.

Parts lie as files below ``uploads/`` of one home folder, each durable before its row; a row is what counts. Crash: a
file without a row goes with its upload; an upload that is completed is marked so in the transaction that makes its
bytes visible. Erasure: rows go with their tenant, staged parts with their upload. Tenants: every row is of one tenant.
Several servers behind one address must share ``uploads/``, or send a client to the same one. Next year's schema:
columns are added.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from tunery.platform.db import Base, Identified, TenantOwned
from tunery.platform.db.base import Uuid

__all__ = ["StorageQuota", "UploadPart", "UploadSession"]


class StorageQuota(Identified, TenantOwned, Base):
    """How much a tenant may store. Its row is the lock under which what is stored and reserved is added up."""

    __tablename__ = "storage_quotas"
    __table_args__ = (sa.UniqueConstraint("tenant_id"),)

    limit_bytes: Mapped[int | None] = mapped_column(sa.BigInteger)


class UploadSession(Identified, TenantOwned, Base):
    """A file that comes in parts; or room for one that comes as one body."""

    __tablename__ = "upload_sessions"

    digest: Mapped[str] = mapped_column(sa.String(64), index=True)
    size_bytes: Mapped[int] = mapped_column(sa.BigInteger)
    reserved_bytes: Mapped[int] = mapped_column(sa.BigInteger)
    """What it may come to in the store, sealing included, where nothing compresses."""
    media_type: Mapped[str] = mapped_column(sa.String(200))
    like: Mapped[str | None] = mapped_column(sa.String(64))
    part_bytes: Mapped[int] = mapped_column(sa.BigInteger)
    """Length of every part but the last."""
    status: Mapped[str] = mapped_column(sa.String(10), default="open")
    """open, complete, or body: room for a body that comes as one, renewed while it comes."""
    expires_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(sa.String(320))


class UploadPart(Identified, TenantOwned, Base):
    """A part that arrived."""

    __tablename__ = "upload_parts"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "upload_id", "number"),)

    upload_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("upload_sessions.id", ondelete="CASCADE"), index=True)
    number: Mapped[int]
    size_bytes: Mapped[int] = mapped_column(sa.BigInteger)
    digest: Mapped[str] = mapped_column(sa.String(64))
    staged: Mapped[str] = mapped_column(sa.String(60))
    """Name of its file."""
