"""How much lies in the store, by codec and in all, and what it would be without it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tunery.kit.clock import now
from tunery.platform.blobs.collecting import leaned_on
from tunery.platform.blobs.index import in_parts
from tunery.platform.blobs.references import named_digests
from tunery.platform.blobs.tables import BlobRow, Pack, Piece, Segment

__all__ = ["CodecUse", "Use", "use_of", "use_of_files"]


@dataclass(frozen=True)
class CodecUse:
    """What one codec holds: plain bytes in, sealed bytes out."""

    codec: str
    segments: int
    plain_bytes: int
    stored_bytes: int


@dataclass(frozen=True)
class Use:
    """What a tenant keeps.

    Attributes:
        files: How many files.
        logical_bytes: Their lengths added up.
        unique_bytes: Plain bytes of their segments, each counted once.
        stored_bytes: Bytes of the packs.
        pinned_bytes: Sealed bytes that only files hold which nothing names any more; near copies lean on those.
        codecs: The same by codec.
    """

    files: int
    logical_bytes: int
    unique_bytes: int
    stored_bytes: int
    pinned_bytes: int
    codecs: list[CodecUse]

    @property
    def saved_share(self) -> float:
        """Which part of the logical bytes is not stored, 0 to 1; negative where the store costs more than it saves."""
        return 1 - self.stored_bytes / self.logical_bytes if self.logical_bytes else 0.0


def use_of(session: Session) -> Use:
    """Add up what the session's tenant keeps."""
    files = session.scalar(sa.select(sa.func.count(BlobRow.id)))
    logical = session.scalar(sa.select(sa.func.sum(BlobRow.size_bytes)))
    stored = session.scalar(sa.select(sa.func.sum(Pack.size_bytes)))
    sums = sa.func.count(Segment.number), sa.func.sum(Segment.size), sa.func.sum(Segment.stored_size)
    by_codec = session.execute(sa.select(Segment.codec, *sums).group_by(Segment.codec).order_by(Segment.codec))
    codecs = [CodecUse(codec, int(count), int(plain), int(kept)) for codec, count, plain, kept in by_codec]
    return Use(
        int(files or 0),
        int(logical or 0),
        sum(codec.plain_bytes for codec in codecs),
        int(stored or 0),
        _pinned_bytes(session),
        codecs,
    )


def _pinned_bytes(session: Session) -> int:
    named, files = named_digests(session), session.execute(sa.select(BlobRow.id, BlobRow.digest)).all()
    unnamed = {blob_id for blob_id, digest in files if digest not in named}
    holders = sa.select(Segment.number, Segment.stored_size, Piece.blob_id)
    holders = holders.outerjoin(Piece, Piece.segment_number == Segment.number)
    needed = [Segment.number.in_(sa.select(Segment.reference_number).where(Segment.reference_number.is_not(None)))]
    needed += [
        Segment.number.in_(sa.select(Piece.segment_number).where(Piece.blob_id.in_(part)))
        for part in in_parts(leaned_on(session, unnamed, now()))
    ]
    sizes: dict[int, int] = {}
    held: set[int] = set()
    for which in needed:
        for number, size, blob_id in session.execute(holders.where(which)):
            sizes[number] = size
            if blob_id is not None and blob_id not in unnamed:
                held.add(number)
    return sum(size for number, size in sizes.items() if number not in held)


def use_of_files(session: Session, digests: Collection[str]) -> tuple[int, int]:
    """Return the logical bytes of some files, and the sealed bytes of their segments, each counted once."""
    logical = session.scalar(sa.select(sa.func.sum(BlobRow.size_bytes)).where(BlobRow.digest.in_(digests)))
    theirs = sa.select(Piece.segment_number).join(BlobRow, Piece.blob_id == BlobRow.id)
    theirs = theirs.where(BlobRow.digest.in_(digests))
    stored = session.scalar(sa.select(sa.func.sum(Segment.stored_size)).where(Segment.number.in_(theirs)))
    return int(logical or 0), int(stored or 0)
