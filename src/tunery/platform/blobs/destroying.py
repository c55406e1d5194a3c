"""Destruction: bytes that can never be read again, here or in any copy of the packs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tunery.errors import Conflict, NotFound
from tunery.platform.blobs.emptying import empty_packs, finish_doomed
from tunery.platform.blobs.store import BlobStore
from tunery.platform.blobs.tables import BlobRow, Piece, Segment

__all__ = ["Destroyed", "destroy"]


@dataclass(frozen=True)
class Destroyed:
    """What was destroyed: the files, and the packs whose keys are gone."""

    digests: list[str]
    pack_ids: list[str]
    freed_bytes: int


def destroy(store: BlobStore, tenant_id: str, digests: Collection[str]) -> Destroyed:
    """Destroy files: what only they held is gone for good, what they shared with others stays.

    The keys of all packs that held any of it are destroyed; survivors move to new packs first. Interrupted, nothing is
    destroyed yet or the rest is done by the next collection.

    Raises:
        NotFound: The tenant has no such file; nothing was destroyed. Conflict: Others kept writing the same; try again.
    """
    for attempt in range(5):
        with store.database.session(tenant_id, read_only=True) as session:
            rows = session.scalars(sa.select(BlobRow).where(BlobRow.digest.in_(digests))).all()
            if missing := sorted({*digests} - {row.digest for row in rows}):
                raise NotFound(f"there are no bytes with the digest {missing[0]} here; nothing was destroyed")
            ids = {row.id for row in rows}
            only = _only_in(session, ids)
            packs = {row.pack_id for row in rows} | {pack_id for _, pack_id in only}
        try:
            doomed = empty_packs(store, tenant_id, packs, dropped={number for number, _ in only}, dropped_files=ids)
        except Conflict:
            if attempt == 4:
                raise
        else:
            break
    return Destroyed(sorted(digests), sorted(doomed), finish_doomed(store, tenant_id))


def _only_in(session: Session, blob_ids: set[str]) -> list[tuple[int, str]]:
    """Return (number, pack) of the segments that no other file holds."""
    theirs = sa.select(Piece.segment_number).where(Piece.blob_id.in_(blob_ids))
    others = sa.select(Piece.segment_number).where(Piece.blob_id.not_in(blob_ids))
    only = sa.select(Segment.number, Segment.pack_id).where(Segment.number.in_(theirs), Segment.number.not_in(others))
    return [(number, pack_id) for number, pack_id in session.execute(only)]
