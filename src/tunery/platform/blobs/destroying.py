"""Destruction: bytes that can never be read again, here or in any copy of the packs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Row
from sqlalchemy.orm import Session

from tunery.errors import Conflict, IntegrityError, NotFound
from tunery.kit.clock import now
from tunery.platform.blobs.collecting import orphans_of
from tunery.platform.blobs.emptying import doom_orphans, empty_packs, finish_doomed
from tunery.platform.blobs.packs import read_footer
from tunery.platform.blobs.store import BlobStore
from tunery.platform.blobs.tables import BlobRow, Pack, Piece, Segment

__all__ = ["Destroyed", "destroy"]

_ATTEMPTS = 5


@dataclass(frozen=True)
class Destroyed:
    """What was destroyed: the files, and the packs whose keys are gone."""

    digests: list[str]
    pack_ids: list[str]
    freed_bytes: int


def destroy(store: BlobStore, tenant_id: str, digests: Collection[str]) -> Destroyed:
    """Destroy files: what only they held is gone for good, what they shared with others stays.

    The keys of all packs that held any of it are destroyed, also of those in which it lay once more and dead; survivors
    move to new packs first. Interrupted, nothing is destroyed yet or the next collection does the rest; it also takes
    what a broken-off upload of the same bytes left in staging.

    Raises:
        NotFound: The tenant has no such file; nothing was destroyed. Conflict: Others kept writing the same; try again.
        IntegrityError: What lies beside it in a pack is damaged; nothing was destroyed, mend that first.
    """
    doomed: set[str] = set()
    gone: set[bytes] = set()
    for attempt in range(_ATTEMPTS):
        with store.database.session(tenant_id, read_only=True) as session:
            rows = session.scalars(sa.select(BlobRow).where(BlobRow.digest.in_(digests))).all()
            if missing := sorted({*digests} - {row.digest for row in rows}):
                raise NotFound(f"there are no bytes with the digest {missing[0]} here; nothing was destroyed")
            ids = {row.id for row in rows}
            only = _only_in(session, ids)
            packs = {row.pack_id for row in rows} | {one.pack_id for one in only}
        gone = {one.hash for one in only}
        packs |= _spare_copies(store, tenant_id, gone, digests)
        try:
            doomed = empty_packs(store, tenant_id, packs, dropped={one.number for one in only}, dropped_files=ids)
            break
        except Conflict:
            if attempt == _ATTEMPTS - 1:
                raise
    doomed |= _empty_spare(store, tenant_id, gone, digests)
    return Destroyed(sorted(digests), sorted(doomed), finish_doomed(store, tenant_id))


def _empty_spare(store: BlobStore, tenant_id: str, gone: set[bytes], digests: Collection[str]) -> set[str]:
    """Let go of copies that somebody wrote while the files were being destroyed."""
    for attempt in range(_ATTEMPTS):
        late = _spare_copies(store, tenant_id, gone, digests)
        if not late:
            return set()
        try:
            return empty_packs(store, tenant_id, late, dropped=set(), dropped_files=set())
        except Conflict:
            if attempt == _ATTEMPTS - 1:
                raise
    return set()


def _spare_copies(store: BlobStore, tenant_id: str, gone: set[bytes], digests: Collection[str]) -> set[str]:
    """Find the packs in which what goes lies once more and dead, or a dead delta to it; doom those without a row.

    Bytes lie twice when two wrote them at the same moment, or when they were collected and put again. No row says where
    the dead copy is, so the footers of all packs are read that hold anything dead.
    """
    orphans = orphans_of(store, tenant_id, now())
    doom_orphans(
        store,
        tenant_id,
        {one: size for one, size in orphans.items() if size and _holds(store, tenant_id, one, size, gone, digests)},
    )
    with store.database.session(tenant_id, read_only=True) as session:
        packs = _with_dead(session)
    return {pack_id for pack_id, size in packs if _holds(store, tenant_id, pack_id, size, gone, digests)}


def _with_dead(session: Session) -> list[tuple[str, int]]:
    """Return (id, length) of the packs in which more lies than rows point to."""
    living = sa.select(Segment.pack_id, sa.func.sum(Segment.stored_size).label("size")).group_by(Segment.pack_id)
    carried = sa.select(BlobRow.pack_id, sa.func.count().label("files")).group_by(BlobRow.pack_id)
    alive, whole = living.subquery(), carried.subquery()
    dead = sa.or_(
        Pack.content_bytes > sa.func.coalesce(alive.c.size, 0), Pack.files > sa.func.coalesce(whole.c.files, 0)
    )
    statement = (
        sa.select(Pack.id, Pack.size_bytes)
        .outerjoin(alive, alive.c.pack_id == Pack.id)
        .outerjoin(whole, whole.c.pack_id == Pack.id)
        .where(Pack.doomed_at.is_(None), dead)
    )
    return [(pack_id, size) for pack_id, size in session.execute(statement)]


def _holds(
    store: BlobStore, tenant_id: str, pack_id: str, size_bytes: int, gone: set[bytes], digests: Collection[str]
) -> bool:
    try:
        footer = read_footer(store.backend, store.keyring, tenant_id, pack_id, size_bytes)
    except NotFound:
        return False  # without its key or its bytes nothing of it can be read
    except IntegrityError:
        return True  # it does not say what it holds
    with store.database.session(tenant_id, read_only=True) as session:
        living = set(session.scalars(sa.select(Segment.hash).where(Segment.pack_id == pack_id)))
        files = set(session.scalars(sa.select(BlobRow.digest).where(BlobRow.pack_id == pack_id)))
    dead = [one for one in footer.segments if one.hash not in living]
    carried = {one["digests"]["sha256"] for one in footer.files} - files
    return any(one.hash in gone or one.reference in gone for one in dead) or not carried.isdisjoint(digests)


def _only_in(session: Session, blob_ids: set[str]) -> list[Row[tuple[int, bytes, str]]]:
    """Return number, hash and pack of the segments that no other file holds."""
    theirs = sa.select(Piece.segment_number).where(Piece.blob_id.in_(blob_ids))
    others = sa.select(Piece.segment_number).where(Piece.blob_id.not_in(blob_ids))
    only = sa.select(Segment.number, Segment.hash, Segment.pack_id)
    found = only.where(Segment.number.in_(theirs), Segment.number.not_in(others))
    return [*session.execute(found)]
