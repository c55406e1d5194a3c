"""Destruction: bytes that can never be read again, here or in any copy of the packs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Row
from sqlalchemy.orm import Session

from tunery.errors import Conflict, IntegrityError, NotFound
from tunery.kit.clock import now
from tunery.platform.blobs.checking import files_of
from tunery.platform.blobs.collecting import orphans_of
from tunery.platform.blobs.emptying import Emptied, SurvivorsDamaged, doom_orphans, empty_packs, finish_doomed
from tunery.platform.blobs.index import in_parts
from tunery.platform.blobs.packs import read_footer
from tunery.platform.blobs.references import names_of
from tunery.platform.blobs.store import BlobStore
from tunery.platform.blobs.tables import BlobRow, Pack, Piece, Segment

__all__ = ["Destroyed", "destroy", "destroy_dead"]

_ATTEMPTS = 5


@dataclass(frozen=True)
class Destroyed:
    """What was destroyed.

    Attributes:
        digests: The files.
        pack_ids: The packs whose keys are gone.
        freed_bytes: By how much the packs are shorter now; less than nothing where near copies must do without a base.
        spared: Files that somebody needs, and who.
        lost: Files that were given up, for they lay beside it and were damaged.
    """

    digests: list[str]
    pack_ids: list[str]
    freed_bytes: int
    spared: dict[str, list[str]]
    lost: list[str]


@dataclass(frozen=True)
class _Plan:
    """What goes: rows of files, segments by number, packs; ``gone`` are the hashes of the segments."""

    digests: list[str]
    spared: dict[str, list[str]]
    file_ids: set[str]
    lost_files: dict[str, str]
    numbers: set[int]
    gone: set[bytes]
    pack_ids: set[str]


def destroy(store: BlobStore, tenant_id: str, digests: Collection[str], *, lose_damaged: bool = False) -> Destroyed:
    """Destroy files: what only they held is gone for good, what they shared with others stays.

    Files that a row of the house names are spared, also where it does so from this moment on. The keys of all packs
    that held any of the others are destroyed, also of those in which it lay once more and dead; survivors move to new
    packs first. Interrupted, nothing is destroyed yet or the next collection does the rest; it also takes what a
    broken-off upload of the same bytes left in staging.

    Args:
        store: The store.
        tenant_id: Whose files these are.
        digests: Which files.
        lose_damaged: Where survivors cannot be read, give up the files they belong to instead of the destruction.

    Raises:
        NotFound: The tenant has no such file; nothing was destroyed. Conflict: Others kept writing the same; try again.
        IntegrityError: What lies beside it in a pack is damaged, and not to be lost; nothing was destroyed. Or what was
        moved out of such a pack is damaged before the backup has it: the files are gone, keys wait.
    """

    def found(plan: _Plan) -> set[str]:
        return plan.pack_ids | _spare_copies(store, tenant_id, plan.gone, plan.digests) if plan.digests else set()

    def late(_: _Plan) -> set[str]:
        """Copies that somebody wrote while the files were being destroyed."""
        return _spare_copies(store, tenant_id, plan.gone, plan.digests) if plan.digests else set()

    plan, first = _emptied(store, tenant_id, digests, found, lose_damaged)
    after, more = _emptied(store, tenant_id, (), late, lose_damaged)
    freed = _finished(store, tenant_id, lose_damaged) - first.written_bytes - more.written_bytes
    lost = {*plan.lost_files.values(), *after.lost_files.values()}
    return Destroyed(plan.digests, sorted(first.pack_ids | more.pack_ids), freed, plan.spared, sorted(lost))


def destroy_dead(store: BlobStore, tenant_id: str, *, lose_damaged: bool = False) -> int:
    """Destroy everything that lies dead in packs, whatever it was of; return by how much they are shorter now.

    So go the bytes of files whose rows were collected before somebody asked for their destruction.
    """

    def dead(_: _Plan) -> set[str]:
        with store.database.session(tenant_id, read_only=True) as session:
            return {pack_id for pack_id, _ in _with_dead(session)}

    _, emptied = _emptied(store, tenant_id, (), dead, lose_damaged)
    return _finished(store, tenant_id, lose_damaged) - emptied.written_bytes


def _finished(store: BlobStore, tenant_id: str, lose_damaged: bool) -> int:
    done = finish_doomed(store, tenant_id, lose_damaged=lose_damaged)
    if done.waiting:
        raise IntegrityError(
            f"{len(done.waiting)} packs keep their keys (the first is {min(done.waiting)}): what was moved out of them "
            f"is damaged and not in the backup yet. `tunery store check --repair` mends it, `--lose-damaged` destroys "
            f"without it",
            packs=sorted(done.waiting),
        )
    return done.freed_bytes


def _emptied(
    store: BlobStore,
    tenant_id: str,
    digests: Collection[str],
    packs_of: Callable[[_Plan], set[str]],
    lose_damaged: bool,
) -> tuple[_Plan, Emptied]:
    """Let go of packs, as often as others come in between or damage shows; return what went, and from which packs."""
    lost: set[int] = set()
    conflicts = 0
    while True:
        plan = _planned(store, tenant_id, digests, lost)
        packs = packs_of(plan)
        if not packs:
            return plan, Emptied(set(), 0)
        going = {"dropped_files": plan.file_ids, "lost_files": plan.lost_files.keys()}
        try:
            return plan, empty_packs(store, tenant_id, packs, dropped=plan.numbers, **going)
        except SurvivorsDamaged as error:
            if not lose_damaged:
                raise _not_to_be_lost(files_of(store, tenant_id, error.numbers)) from error
            lost |= error.numbers
        except Conflict:
            conflicts += 1
            if conflicts == _ATTEMPTS:
                raise


def _planned(store: BlobStore, tenant_id: str, digests: Collection[str], lost: set[int]) -> _Plan:
    with store.database.session(tenant_id, read_only=True) as session:
        spared = names_of(session, digests)
        rows = session.scalars(sa.select(BlobRow).where(BlobRow.digest.in_(digests))).all()
        if missing := sorted({*digests} - {row.digest for row in rows}):
            raise NotFound(f"there are no bytes with the digest {missing[0]} here; nothing was destroyed")
        rows = [row for row in rows if row.digest not in spared]
        ids = {row.id for row in rows}
        leaning = sa.select(Segment.number)
        for part in in_parts([*lost]):
            lost |= {*session.scalars(leaning.where(Segment.reference_number.in_(part)))}
        holding = sa.select(BlobRow.id, BlobRow.digest).join(Piece, Piece.blob_id == BlobRow.id)
        lost_files = {
            blob_id: digest
            for part in in_parts(lost)
            for blob_id, digest in session.execute(holding.where(Piece.segment_number.in_(part)))
            if blob_id not in ids
        }
        only = _only_in(session, ids, lost_files.keys(), lost)
    numbers, hashes = {one.number for one in only}, {one.hash for one in only}
    packs = {row.pack_id for row in rows} | {one.pack_id for one in only}
    return _Plan(sorted(row.digest for row in rows), spared, ids, lost_files, numbers, hashes, packs)


def _not_to_be_lost(files: list[str]) -> IntegrityError:
    return IntegrityError(
        f"nothing was destroyed: what lies beside it is damaged and cannot be moved ({', '.join(files[:5])}); "
        f"`tunery store check --repair backup` mends it, `--lose-damaged` destroys without it",
        files=files,
    )


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


def _only_in(
    session: Session, blob_ids: Collection[str], lost_files: Collection[str], lost: set[int]
) -> list[Row[tuple[int, bytes, str]]]:
    """Return number, hash and pack of the segments that no other file holds, and of those that are lost."""
    going = {*blob_ids, *lost_files}
    holders = sa.select(Piece.segment_number, Piece.blob_id)
    alone: dict[int, bool] = {}
    for part in in_parts(blob_ids):
        theirs = sa.select(Piece.segment_number).where(Piece.blob_id.in_(part))
        for number, blob_id in session.execute(holders.where(Piece.segment_number.in_(theirs))):
            alone[number] = alone.get(number, True) and blob_id in going
    only = sa.select(Segment.number, Segment.hash, Segment.pack_id)
    gone = lost | {number for number, is_alone in alone.items() if is_alone}
    found: list[Row[tuple[int, bytes, str]]] = []
    for numbers in in_parts(gone):
        found += session.execute(only.where(Segment.number.in_(numbers)))
    return found
