"""What the store knows: files, the segments they are made of, the packs those lie in.

The bytes are the truth and these rows an index of them: each pack ends with what is needed to write its rows again.

Crash: packs are complete and durable before one transaction makes file, segments and packs visible together; a pack
without a row is garbage that ``collect`` takes after the grace. Erasure: rows of a file go first, then what lived only
in it, by destroying the keys of its packs (``destroy``). Tenants: every row is of one tenant, nothing is shared. Next
year's schema: ``schema`` of pack and file says how to read it; codecs are never renamed.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tunery.platform.db.base import Base, Identified, TenantOwned, Uuid

__all__ = ["BlobRow", "Pack", "Piece", "Segment"]

_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


class Pack(Identified, TenantOwned, Base):
    """An immutable object of sealed segments with a key of its own; the unit of destruction."""

    __tablename__ = "packs"

    schema: Mapped[int] = mapped_column(default=1)
    size_bytes: Mapped[int] = mapped_column(sa.BigInteger)
    checksum: Mapped[str] = mapped_column(sa.String(64))
    """BLAKE3 of the whole pack as it lies in the backend, hex."""
    content_bytes: Mapped[int] = mapped_column(sa.BigInteger)
    """Sealed bytes of all segments in it; what its rows add up to less is dead."""
    files: Mapped[int]
    """How many manifests it ends with."""
    doomed_at: Mapped[datetime | None]
    """When its last segment moved away or was destroyed, or its writer was given up; key and object go next."""


class Segment(TenantOwned, Base):
    """Some bytes of files, kept once within a tenant."""

    __tablename__ = "segments"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "hash"),)

    number: Mapped[int] = mapped_column(_Number, primary_key=True, autoincrement=True)
    hash: Mapped[bytes] = mapped_column(sa.LargeBinary(32))
    """BLAKE3 of the plain content."""
    size: Mapped[int]
    codec: Mapped[str] = mapped_column(sa.String(20))
    pack_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("packs.id", ondelete="RESTRICT"), index=True)
    ordinal: Mapped[int]
    offset: Mapped[int] = mapped_column(sa.BigInteger)
    stored_size: Mapped[int]
    reference_number: Mapped[int | None] = mapped_column(
        _Number, sa.ForeignKey("segments.number", ondelete="RESTRICT"), index=True
    )
    """The segment a delta leans on, itself never a delta."""
    touched_at: Mapped[datetime]

    reference: Mapped[Segment | None] = relationship(remote_side=[number], lazy="raise")


class BlobRow(Identified, TenantOwned, Base):
    """A file: its digests, its length, its pieces."""

    __tablename__ = "blobs"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "digest"),)

    schema: Mapped[int] = mapped_column(default=1)
    digest: Mapped[str] = mapped_column(sa.String(64))
    """SHA-256, hex: the public digest."""
    blake3: Mapped[str] = mapped_column(sa.String(64))
    size_bytes: Mapped[int] = mapped_column(sa.BigInteger)
    media_type: Mapped[str] = mapped_column(sa.String(200))
    pack_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("packs.id", ondelete="RESTRICT"), index=True)
    """The pack whose end carries this file's manifest."""
    touched_at: Mapped[datetime]


class Piece(TenantOwned, Base):
    """One segment's place in a file."""

    __tablename__ = "blob_pieces"

    blob_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("blobs.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    start: Mapped[int] = mapped_column(sa.BigInteger)
    segment_number: Mapped[int] = mapped_column(
        _Number, sa.ForeignKey("segments.number", ondelete="RESTRICT"), index=True
    )
    key: Mapped[str | None] = mapped_column(sa.String(16))
    """Names the same piece in a near copy of the file (a tensor's name, type and shape, hashed)."""

    segment: Mapped[Segment] = relationship(lazy="raise")
