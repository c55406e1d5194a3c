"""Collection: give back the bytes that no row of the house names any more.

What was written or found again within the grace is spared, so the grace must be longer than the longest upload takes
to be named. A dry run does the same in a transaction that is rolled back, so it names exactly what would go.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tunery.kit.clock import now
from tunery.platform.blobs.backends import Entry
from tunery.platform.blobs.emptying import empty_packs, finish_doomed
from tunery.platform.blobs.references import named_digests
from tunery.platform.blobs.store import BlobStore
from tunery.platform.blobs.tables import BlobRow, Pack, Piece, Segment

__all__ = ["Collected", "collect"]

_SMALL_BYTES = 8 << 20
_MANY_SMALL = 32
_MANY = 2_000


@dataclass(frozen=True)
class Collected:
    """What a collection took, or would take.

    Attributes:
        files: Digests of files that nothing names any more.
        segments: How many segments no file and no delta needs any more.
        freed_bytes: What lay dead in the packs that were let go or emptied, and in objects without a row.
        kept_bytes: What stays dead in packs that are more alive than dead.
    """

    files: list[str]
    segments: int
    freed_bytes: int
    kept_bytes: int


@dataclass(frozen=True)
class _Share:
    pack_id: str
    size_bytes: int
    live_bytes: int
    carries_files: bool

    @property
    def dead_bytes(self) -> int:
        return self.size_bytes - self.live_bytes

    @property
    def goes(self) -> bool:
        return 2 * self.live_bytes < self.size_bytes and (self.live_bytes > 0 or not self.carries_files)


def collect(store: BlobStore, tenant_id: str, *, grace: timedelta, dry_run: bool = False) -> Collected:
    """Take a tenant's files that no row names, the segments that no file needs, and the packs that are mostly dead.

    Args:
        store: The store.
        tenant_id: Whose bytes to look through.
        grace: What was touched since then is spared; longer than the longest upload.
        dry_run: Say what would go, and leave it.

    Raises:
        Conflict: Somebody moved the same packs at the same moment; nothing is lost, collect again.
    """
    cutoff = now() - grace
    with store.database.session(tenant_id) as session:
        files = _drop_files(session, cutoff)
        segments = _drop_segments(session, cutoff)
        shares = _shares(session)
        if dry_run:
            session.rollback()
    orphans = _orphans(store, tenant_id, {share.pack_id for share in shares}, cutoff)
    going = [share for share in shares if share.goes]
    small = [share for share in shares if share.size_bytes < _SMALL_BYTES and not share.goes]
    if not dry_run:
        merged = [share.pack_id for share in small] if len(small) >= _MANY_SMALL else []
        leaving = [share.pack_id for share in going] + merged
        if leaving:
            empty_packs(store, tenant_id, leaving, dropped=set(), dropped_files=set())
        finish_doomed(store, tenant_id)
        for orphan in orphans:
            store.keyring.destroy(tenant_id, orphan.name.rpartition("/")[2])
            store.backend.delete(orphan.name)
        store.keyring.retire(tenant_id, cutoff)
    freed = sum(share.dead_bytes for share in going) + sum(orphan.size_bytes for orphan in orphans)
    kept = sum(share.dead_bytes for share in shares if not share.goes)
    return Collected(files, segments, freed, kept)


def _drop_files(session: Session, cutoff: datetime) -> list[str]:
    named = named_digests(session)
    rows = session.execute(sa.select(BlobRow.id, BlobRow.digest).where(BlobRow.touched_at < cutoff)).all()
    dead = [(blob_id, digest) for blob_id, digest in rows if digest not in named]
    for start in range(0, len(dead), _MANY):
        ids = [blob_id for blob_id, _ in dead[start : start + _MANY]]
        session.execute(sa.delete(BlobRow).where(BlobRow.id.in_(ids), BlobRow.touched_at < cutoff))
    return sorted(digest for _, digest in dead)


def _drop_segments(session: Session, cutoff: datetime) -> int:
    """Deltas go first and set free what they leaned on, which goes in the next round."""
    count = 0
    while True:
        needed = sa.select(Piece.segment_number).union(
            sa.select(Segment.reference_number).where(Segment.reference_number.is_not(None))
        )
        unused = sa.delete(Segment).where(Segment.touched_at < cutoff, Segment.number.not_in(needed))
        taken = int(session.execute(unused).rowcount)  # type: ignore[attr-defined]
        count += taken
        if not taken:
            return count


def _shares(session: Session) -> list[_Share]:
    live = sa.select(Segment.pack_id, sa.func.sum(Segment.stored_size)).group_by(Segment.pack_id)
    living: dict[str, int] = {pack_id: int(size) for pack_id, size in session.execute(live)}
    carrying = set(session.scalars(sa.select(BlobRow.pack_id).distinct()))
    packs = session.execute(sa.select(Pack.id, Pack.size_bytes).where(Pack.doomed_at.is_(None)).order_by(Pack.id))
    return [_Share(pack_id, size, living.get(pack_id, 0), pack_id in carrying) for pack_id, size in packs]


def _orphans(store: BlobStore, tenant_id: str, known: set[str], cutoff: datetime) -> list[Entry]:
    return [
        entry
        for entry in store.backend.entries(tenant_id)
        if entry.name.rpartition("/")[2] not in known and entry.modified_at < cutoff
    ]
