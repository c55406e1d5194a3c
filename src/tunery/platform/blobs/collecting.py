"""Collection: give back the bytes that no row of the house names any more, and nothing that is named leans on.

What was written or found again within the grace is spared, so the grace must be longer than the longest upload takes
to be named. First goes what is wholly dead, for that needs no room, but to copy what the mirror lacks; then what lives
beside the dead is moved, and small packs are joined, some at a time. A dry run does the same in a transaction that is
rolled back and reads whatever would be moved, so it says to the byte what would go.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session, aliased

from tunery.errors import Exhausted, IntegrityError, NotFound, Unavailable
from tunery.kit.clock import now
from tunery.kit.ids import parse_id
from tunery.kit.units import format_bytes
from tunery.platform.blobs.copying import checksum_at, require_place, suspects
from tunery.platform.blobs.emptying import (
    SurvivorsDamaged,
    doom_orphans,
    empty_packs,
    finish_doomed,
    living_in,
    measure,
    takers_of,
)
from tunery.platform.blobs.index import in_parts
from tunery.platform.blobs.packs import pack_name
from tunery.platform.blobs.references import named_digests
from tunery.platform.blobs.store import BlobStore
from tunery.platform.blobs.tables import BlobRow, Pack, Piece, Segment

__all__ = ["Collected", "collect", "leaned_on", "orphans_of"]

log = structlog.get_logger(__name__)

_SMALL_BYTES = 8 << 20
_MANY_SMALL = 32
_GROUP_BYTES = 32 << 20
_GROUP_PACKS = 500


@dataclass(frozen=True)
class Collected:
    """What a collection took, or would take.

    Attributes:
        files: Digests of files that nothing names or leans on any more.
        segments: How many segments no file and no delta needs any more.
        freed_bytes: By how much the packs are shorter, those without a row included.
        kept_bytes: What stays dead in packs that are more alive than dead, or damaged.
        waiting_bytes: Packs that have to go once a damaged one is mended that took over from them: it is to lie at the
            backup first.
    """

    files: list[str]
    segments: int
    freed_bytes: int
    kept_bytes: int
    waiting_bytes: int


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
    def is_mostly_dead(self) -> bool:
        return 2 * self.live_bytes < self.content_bytes


def collect(store: BlobStore, tenant_id: str, *, grace: timedelta, dry_run: bool = False) -> Collected:
    """Take a tenant's files that no row names, the segments that no file needs, and the packs that are mostly dead.

    Args:
        store: The store.
        tenant_id: Whose bytes to look through.
        grace: What was touched since then is spared; longer than the longest upload.
        dry_run: Say what would go, and leave it.

    Raises:
        Conflict: Somebody moved the same packs at the same moment; nothing is lost, collect again. Exhausted: There is
        no room for what has to be moved; what is wholly dead went, unless there was none to copy what the mirror lacks.
    """
    cutoff = now() - grace
    if dry_run:
        return _foretold(store, tenant_id, cutoff)
    freed = finish_doomed(store, tenant_id).freed_bytes
    with store.database.session(tenant_id) as session:
        files, segments, shares = _drop(session, cutoff)
    gone = {share.pack_id for share in shares if not share.lives}
    for part in in_parts(gone):
        empty_packs(store, tenant_id, part)
    doom_orphans(store, tenant_id, orphans_of(store, tenant_id, cutoff))
    done = finish_doomed(store, tenant_id)
    freed += done.freed_bytes
    store.keyring.sweep(tenant_id, cutoff)
    store.backend.sweep(tenant_id, cutoff)
    for group in _groups(shares):
        try:
            emptied, written = _leave_damaged(group, lambda packs: empty_packs(store, tenant_id, packs).written_bytes)
        except Exhausted as error:
            told = f"{error.message}; {format_bytes(freed)} were given back before that, make room and collect again"
            raise Exhausted(told, **error.details) from error
        done = finish_doomed(store, tenant_id)
        freed += done.freed_bytes - written
        gone |= emptied
    store.keyring.retire(tenant_id, cutoff)
    kept = sum(share.dead_bytes for share in shares if share.pack_id not in gone)
    return Collected(files, segments, freed, kept, done.waiting_bytes)


def _foretold(store: BlobStore, tenant_id: str, cutoff: datetime) -> Collected:
    """Say what ``collect`` would do; nothing is written."""
    uncopied = _uncopied(store, tenant_id)
    orphans = orphans_of(store, tenant_id, cutoff)
    with store.database.session(tenant_id) as session:
        files, segments, shares = _drop(session, cutoff)
        groups = [*_groups(shares)]
        living = [living_in(session, group) for group in groups]
        gone = {share.pack_id for share in shares if not share.lives}
        moving = gone.union(*groups)
        doomed = session.execute(sa.select(Pack.id, Pack.size_bytes).where(Pack.doomed_at.is_not(None)))
        sizes = {pack_id: size for pack_id, size in doomed} | orphans
        sizes |= {share.pack_id: share.size_bytes for share in shares if share.pack_id in moving}
        takers = {one: takers_of(store, session, one, sizes[one], uncopied) for one in sizes} if uncopied else {}
        session.rollback()
    written = 0
    for group, alive in zip(groups, living, strict=True):
        emptied, length = _leave_damaged(group, partial(measure, store, tenant_id, alive))
        gone |= emptied
        written += length
    goes = sizes.keys() - (moving - gone)
    waiting = {pack_id for pack_id in goes if takers.get(pack_id, set()) - gone}
    kept = sum(share.dead_bytes for share in shares if share.pack_id not in gone)
    freed = sum(sizes[pack_id] for pack_id in goes - waiting) - written
    return Collected(files, segments, freed, kept, sum(sizes[pack_id] for pack_id in waiting))


def orphans_of(store: BlobStore, tenant_id: str, before: datetime) -> dict[str, int]:
    """Return packs without a row that were written before a moment, with their bytes; a key alone counts as one."""
    found = dict.fromkeys(store.keyring.packs(tenant_id, before), 0)
    for entry in store.backend.entries(tenant_id):
        if entry.modified_at < before:
            found[entry.name.rpartition("/")[2]] = entry.size_bytes
    with store.database.session(tenant_id, read_only=True) as session:
        known = set(session.scalars(sa.select(Pack.id)))
    return {pack_id: size for pack_id, size in found.items() if pack_id == parse_id(pack_id) and pack_id not in known}


def _drop(session: Session, cutoff: datetime) -> tuple[list[str], int, list[_Share]]:
    return _drop_files(session, cutoff), _drop_segments(session, cutoff), _shares(session)


def _groups(shares: list[_Share]) -> Iterator[set[str]]:
    """Yield the packs to empty, some at a time, the least alive first; small ones as well where there are many."""
    alive = [share for share in shares if share.lives]
    small = [share for share in alive if share.size_bytes < _SMALL_BYTES and not share.is_mostly_dead]
    leaving = [share for share in alive if share.is_mostly_dead] + (small if len(small) >= _MANY_SMALL else [])
    group, size = set[str](), 0
    for share in sorted(leaving, key=lambda share: (share.live_bytes, share.pack_id)):
        group.add(share.pack_id)
        size += share.live_bytes
        if size >= _GROUP_BYTES or len(group) == _GROUP_PACKS:
            yield group
            group, size = set[str](), 0
    if group:
        yield group


def _leave_damaged(packs: set[str], empty: Callable[[set[str]], int]) -> tuple[set[str], int]:
    """Empty packs and return which, and what was written; those with damage in them stay until somebody mends them."""
    try:
        return packs, empty(packs)
    except SurvivorsDamaged as error:
        log.warning("packs are not emptied: they are damaged", packs=sorted(error.pack_ids))
        whole = packs - error.pack_ids
        return _leave_damaged(whole, empty) if whole else (set(), 0)


def _uncopied(store: BlobStore, tenant_id: str) -> set[str]:
    """Return the packs that could not be copied to the mirror, for they are damaged."""
    if store.mirror is None:
        return set()
    with suppress(Unavailable):
        require_place(store.mirror)
        there = {entry.name: entry.size_bytes for entry in store.mirror.entries(tenant_id)}
        doubted = suspects(store.mirror)
        with store.database.session(tenant_id, read_only=True) as session:
            packs = session.scalars(sa.select(Pack).where(Pack.doomed_at.is_(None))).all()
        return {
            pack.id
            for pack in packs
            if (name := pack_name(tenant_id, pack.id)) in doubted or there.get(name) != pack.size_bytes
            if _is_damaged(store, pack)
        }
    return set()  # without the place nothing goes at all, and the run says so


def _is_damaged(store: BlobStore, pack: Pack) -> bool:
    try:
        return checksum_at(store.backend, pack) != pack.checksum
    except (IntegrityError, NotFound):
        return True


def _drop_files(session: Session, cutoff: datetime) -> list[str]:
    rows = session.execute(sa.select(BlobRow.id, BlobRow.digest).where(BlobRow.touched_at < cutoff)).all()
    named = named_digests(session)
    dead = {blob_id: digest for blob_id, digest in rows if digest not in named}
    for blob_id in leaned_on(session, dead, cutoff):
        del dead[blob_id]
    for ids in in_parts(dead):
        session.execute(sa.delete(BlobRow).where(BlobRow.id.in_(ids), BlobRow.touched_at < cutoff))
    return sorted(dead.values())


def leaned_on(session: Session, dead: Collection[str], cutoff: datetime) -> set[str]:
    """Return which files keep their rows though nothing names them: those that near copies which stay lean on.

    So they can still be destroyed by their digest.

    Args:
        session: The tenant's.
        dead: Ids of the files that nothing names.
        cutoff: Near copies stay that were touched since, or that a file holds which is not one of those.
    """
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
