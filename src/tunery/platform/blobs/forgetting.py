"""An index that is older than the keys: what lay in packs whose keys were destroyed since leaves it.

Survivors were moved before a key went, and their rows have been pointed to where they lie now. What still points to a
pack without a key was destroyed: its rows would say of bytes that nobody can read that they are here already.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from tunery.kit.clock import now
from tunery.platform.blobs.index import in_parts
from tunery.platform.blobs.tables import BlobRow, Pack, Piece, Segment
from tunery.platform.db import TenantSession

__all__ = ["forget_packs"]


def forget_packs(session: TenantSession, pack_ids: Collection[str]) -> set[str]:
    """Drop packs, what still lies in them and what needs that; return the digests of the files that went.

    A file goes, too, whose manifest was in one of them and in none that took over: every byte of it may live on in
    others, and it was destroyed all the same.
    """
    for part in in_parts(pack_ids):
        session.execute(sa.update(Pack).where(Pack.id.in_(part)).values(doomed_at=now()))
    lost = sa.select(Pack.id).where(Pack.doomed_at.is_not(None))
    dead = sa.select(Segment.number).where(Segment.pack_id.in_(lost))
    unread = sa.select(Segment.number).where(sa.or_(Segment.pack_id.in_(lost), Segment.reference_number.in_(dead)))
    holding = sa.select(Piece.blob_id).where(Piece.segment_number.in_(unread))
    gone = sa.select(BlobRow.id, BlobRow.digest).where(sa.or_(BlobRow.pack_id.in_(lost), BlobRow.id.in_(holding)))
    files = {blob_id: digest for blob_id, digest in session.execute(gone)}
    for part in in_parts(files):
        session.execute(sa.delete(BlobRow).where(BlobRow.id.in_(part)))
    session.execute(sa.delete(Segment).where(Segment.reference_number.in_(dead)))
    session.execute(sa.delete(Segment).where(Segment.pack_id.in_(lost)))
    for part in in_parts(pack_ids):
        session.execute(sa.delete(Pack).where(Pack.id.in_(part)))
    return set(files.values())
