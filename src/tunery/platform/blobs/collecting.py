"""Collection: give back the bytes that no row of the house names any more, and nothing that is named leans on.

What was written or found again within the grace is spared, so the grace must be longer than the longest upload takes
to be named. A dry run does the same in a transaction that is rolled back, so it names exactly what would go.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session, aliased

from tunery.kit.clock import now
from tunery.kit.ids import parse_id
from tunery.platform.blobs.emptying import SurvivorsDamaged, doom_orphans, empty_packs, finish_doomed
from tunery.platform.blobs.index import in_parts
from tunery.platform.blobs.references import named_digests
from tunery.platform.blobs.store import BlobStore
from tunery.platform.blobs.tables import BlobRow, Pack, Piece, Segment

__all__ = ["Collected", "collect", "orphans_of"]

log = structlog.get_logger(__name__)

_SMALL_BYTES = 8 << 20
_MANY_SMALL = 32
_MANY = 2_000


@dataclass(frozen=True)
class Collected:
    """What a collection took, or would take.

    Attributes:
        files: Digests of files that nothing names or leans on any more.
        segments: How many segments no file and no delta needs any more.
        freed_bytes: What lay dead in the packs that are let go or emptied, and in objects without a row.
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
    content_bytes: int
    live_bytes: int
    carries_files: bool

    @property
    def lives(self) -> bool:
        return self.carries_files or self.live_bytes > 0

    @property
    def dead_bytes(self) -> int:
        return self.content_bytes - self.live_bytes if self.lives else self.size_bytes

    @property
    def goes(self) -> bool:
        return not self.lives or 2 * self.live_bytes < self.content_bytes


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
    begun = 0 if dry_run else finish_doomed(store, tenant_id)
    with store.database.session(tenant_id) as session:
        files = _drop_files(session, cutoff)
        segments = _drop_segments(session, cutoff)
        shares = _shares(session)
        doomed = session.scalar(sa.select(sa.func.sum(Pack.size_bytes)).where(Pack.doomed_at.is_not(None)))
        if dry_run:
            session.rollback()
    orphans = orphans_of(store, tenant_id, cutoff)
    going = [share for share in shares if share.goes][:_MANY]
    if not dry_run:
        small = [share for share in shares if share.size_bytes < _SMALL_BYTES and not share.goes][:_MANY]
        leaving = [*going, *(small if len(small) >= _MANY_SMALL else [])]
        if leaving:
            packs = {share.pack_id for share in leaving}
            _empty(store, tenant_id, packs)
        doom_orphans(store, tenant_id, orphans)
        finish_doomed(store, tenant_id)
        store.keyring.retire(tenant_id, cutoff)
        store.keyring.sweep(tenant_id, cutoff)
        store.backend.sweep(tenant_id, cutoff)
    dead = sum(share.dead_bytes for share in shares)
    dies = sum(share.dead_bytes for share in going)
    return Collected(files, segments, begun + dies + sum(orphans.values()) + int(doomed or 0), dead - dies)


def _empty(store: BlobStore, tenant_id: str, packs: set[str]) -> None:
    """Empty packs; those with damage in them stay until somebody mends them."""
    try:
        empty_packs(store, tenant_id, packs)
    except SurvivorsDamaged as error:
        log.warning("packs are not emptied: they are damaged", packs=sorted(error.pack_ids))
        if packs - error.pack_ids:
            _empty(store, tenant_id, packs - error.pack_ids)


def orphans_of(store: BlobStore, tenant_id: str, before: datetime) -> dict[str, int]:
    """Return packs without a row that were written before a moment, with their bytes; a key alone counts as one."""
    found = dict.fromkeys(store.keyring.packs(tenant_id, before), 0)
    for entry in store.backend.entries(tenant_id):
        if entry.modified_at < before:
            found[entry.name.rpartition("/")[2]] = entry.size_bytes
    with store.database.session(tenant_id, read_only=True) as session:
        known = set(session.scalars(sa.select(Pack.id)))
    return {pack_id: size for pack_id, size in found.items() if pack_id == parse_id(pack_id) and pack_id not in known}


def _drop_files(session: Session, cutoff: datetime) -> list[str]:
    rows = session.execute(sa.select(BlobRow.id, BlobRow.digest).where(BlobRow.touched_at < cutoff)).all()
    named = named_digests(session)
    dead = {blob_id: digest for blob_id, digest in rows if digest not in named}
    for blob_id in _leaned_on(session, dead, cutoff):
        del dead[blob_id]
    for ids in in_parts(dead):
        session.execute(sa.delete(BlobRow).where(BlobRow.id.in_(ids), BlobRow.touched_at < cutoff))
    return sorted(dead.values())


def _leaned_on(session: Session, dead: Collection[str], cutoff: datetime) -> set[str]:
    """Return the files that near copies which stay lean on: they keep their rows, so that they can be destroyed."""
    delta, holder = aliased(Segment), aliased(Piece)
    leaning = (
        sa.select(holder.blob_id, Piece.blob_id)
        .join(delta, delta.reference_number == Piece.segment_number)
        .outerjoin(holder, holder.segment_number == delta.number)
        .where(sa.or_(holder.blob_id.is_not(None), delta.touched_at >= cutoff))
        .distinct()
    )
    edges = [(by, on) for part in in_parts(dead) for by, on in session.execute(leaning.where(Piece.blob_id.in_(part)))]
    kept: set[str] = set()
    while more := {on for by, on in edges if by not in dead or by in kept} - kept:
        kept |= more
    return kept


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
    packs = session.scalars(sa.select(Pack).where(Pack.doomed_at.is_(None)).order_by(Pack.id))
    return [
        _Share(pack.id, pack.size_bytes, pack.content_bytes, living.get(pack.id, 0), pack.id in carrying)
        for pack in packs
    ]
