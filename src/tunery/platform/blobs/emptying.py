"""Move what lives in packs to new ones and let the old ones go: the core of collection and of destruction.

    1. survivors are sealed into new packs, which are placed and still invisible
    2. one transaction points their rows there, takes the dropped segments away and dooms the old packs
    3. the packs that took over are copied to the mirror (the backup's packs), where there is one
    4. the keys of doomed packs are destroyed, then their objects, then their rows

A crash after 1 leaves a pack without a row; after 2, ``finish_doomed`` goes on where it stopped. Survivors that leaned
on what is dropped are encoded anew, and their packs go as well: content and delta together would give it back.
Step 3 keeps every backup readable: it names packs whose keys go, and finds what survived in those that took over. A
damaged pack cannot be copied: those that gave it something wait with their keys, doomed, and no others do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tunery.errors import Conflict, IntegrityError, NotFound, SchemaNewer, StaleState
from tunery.kit.clock import now
from tunery.platform.blobs.backends.disk import disk_faults
from tunery.platform.blobs.codecs import CODECS, Encoded, encode
from tunery.platform.blobs.copying import copy_packs, require_place
from tunery.platform.blobs.index import add_pack, in_parts, manifest_of, numbers_of
from tunery.platform.blobs.keyring import Keyring
from tunery.platform.blobs.packs import SCHEMA, PackLength, PackWriter, Placed, pack_name, read_footer
from tunery.platform.blobs.references import names_of
from tunery.platform.blobs.segments import Found, find_segments
from tunery.platform.blobs.store import BlobStore
from tunery.platform.blobs.tables import BlobRow, Pack, Segment
from tunery.platform.blobs.writing import PACK_BYTES
from tunery.platform.db import TenantSession

__all__ = [
    "Emptied",
    "Finished",
    "Living",
    "SurvivorsDamaged",
    "doom_orphans",
    "empty_packs",
    "finish_doomed",
    "living_in",
    "measure",
    "takers_of",
]

Writer = TypeVar("Writer", PackWriter, PackLength)


class SurvivorsDamaged(Exception):
    """Segments that should move to a new pack cannot be read; nothing happened."""

    def __init__(self, survivors: list[Found]) -> None:
        super().__init__(f"{len(survivors)} segments are damaged that should move to a new pack; nothing happened")
        self.numbers = {one.number for one in survivors}
        self.pack_ids = {one.pack_id for one in survivors}


@dataclass(frozen=True)
class Living:
    """What lives in packs.

    Attributes:
        segments: In the order in which they lie.
        files: By id: the pack that ends with the file's manifest, and that manifest.
    """

    segments: list[Found]
    files: dict[str, tuple[str, dict[str, Any]]]

    def within(self, pack_ids: Collection[str]) -> Living:
        """Return what of it lives in some of the packs."""
        files = {file_id: file for file_id, file in self.files.items() if file[0] in pack_ids}
        return Living([one for one in self.segments if one.pack_id in pack_ids], files)


@dataclass(frozen=True)
class Emptied:
    """Packs that are doomed now, and how many bytes the packs have that took over from them."""

    pack_ids: set[str]
    written_bytes: int


@dataclass(frozen=True)
class Finished:
    """How many bytes of packs went, and the doomed packs that must wait, with theirs: what they gave is damaged."""

    freed_bytes: int
    waiting: dict[str, int]

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the packs that must wait."""
        return sum(self.waiting.values())


def living_in(
    session: Session, pack_ids: Collection[str], dropped: Collection[int] = (), going: Collection[str] = ()
) -> Living:
    """Look up what lives in packs, without some segments, by number, and files, by id."""
    segments = [one for one in find_segments(session, Segment.pack_id.in_(pack_ids)) if one.number not in dropped]
    rows = session.scalars(sa.select(BlobRow).where(BlobRow.pack_id.in_(pack_ids)).order_by(BlobRow.id)).all()
    return Living(segments, {row.id: (row.pack_id, manifest_of(session, row)) for row in rows if row.id not in going})


def measure(store: BlobStore, tenant_id: str, living: Living, pack_ids: Collection[str]) -> int:
    """Return how many bytes the packs will have that take over from some; all that would move is read.

    Raises: as ``empty_packs`` does.
    """
    return sum(pack.size_bytes for pack in _move(store, tenant_id, living.within(pack_ids), (), PackLength))


def empty_packs(
    store: BlobStore,
    tenant_id: str,
    pack_ids: Iterable[str],
    *,
    dropped: Collection[int] = (),
    dropped_files: Collection[str] = (),
    lost_files: Collection[str] = (),
) -> Emptied:
    """Let packs go, after moving whatever lives in them and is not dropped.

    Args:
        store: The store.
        tenant_id: Whose packs these are.
        pack_ids: The packs to let go; those of survivors that lean on what is dropped are added.
        dropped: Numbers of segments that go with them.
        dropped_files: Ids of the file rows that go in the same transaction, if no row of the house names them then.
        lost_files: Ids of file rows that go with them, for what they are made of cannot be read any more.

    Returns:
        What is doomed now; call ``finish_doomed`` next.

    Raises:
        Conflict: Somebody names what is dropped, or a survivor moved meanwhile; nothing happened, look again.
        SurvivorsDamaged: Survivors cannot be read.
    """
    going = {*dropped_files, *lost_files}
    with store.database.session(tenant_id, read_only=True) as session:
        leaning = [
            one for part in in_parts(dropped) for one in find_segments(session, Segment.reference_number.in_(part))
        ]
        doomed = {*pack_ids, *(one.pack_id for one in leaning if one.number not in dropped)}
        living = living_in(session, doomed, dropped, going)
    packs = _move(store, tenant_id, living, dropped, lambda: PackWriter(tenant_id, store.staging, store.keyring))
    written = sum(pack.size_bytes for pack in packs)
    try:
        with store.database.session(tenant_id) as session:
            _refuse_needed(session, dropped_files)
            _doom(session, doomed)
            _switch(session, store.keyring, packs, {one.hash: one for one in living.segments})
            for some in in_parts(living.files):
                moved_files = sa.update(BlobRow).where(BlobRow.id.in_(some))
                session.execute(moved_files.values(pack_id=packs[-1].pack_id))
            for part in in_parts(going):
                session.execute(sa.delete(BlobRow).where(BlobRow.id.in_(part)))
            _drop(session, dropped)
            _refuse_life(session, doomed)
            packs = []  # whether the commit succeeds, only the rows can tell: collection asks them
    finally:
        for pack in packs:
            pack.abandon(store.backend)
    return Emptied(doomed, written)


def doom_orphans(store: BlobStore, tenant_id: str, orphans: Mapping[str, int]) -> None:
    """Doom packs that have no row, given with their bytes; a writer who comes later finds the row, or no key.

    One that got its row since is left alone.
    """
    for pack_id, size_bytes in orphans.items():
        with suppress(Conflict), store.database.session(tenant_id) as session:
            facts = {"size_bytes": size_bytes, "checksum": "", "content_bytes": 0, "files": 0}
            session.add(Pack(id=pack_id, schema=SCHEMA, doomed_at=now(), **facts))


def finish_doomed(store: BlobStore, tenant_id: str, *, lose_damaged: bool = False) -> Finished:
    """Destroy keys, objects and rows of doomed packs. Repeating it is harmless.

    Args:
        store: The store.
        tenant_id: Whose packs these are.
        lose_damaged: Do so though a pack that should lie at the mirror first is damaged here.

    Raises:
        Unavailable: The mirror does not answer; nothing of this was done, and the next collection does it.
    """
    with store.database.session(tenant_id, read_only=True) as session:
        doomed = session.scalars(sa.select(Pack).where(Pack.doomed_at.is_not(None))).all()
        alive = session.scalars(sa.select(Pack).where(Pack.doomed_at.is_(None))).all()
    waiting: dict[str, int] = {}
    if doomed and store.mirror is not None:
        require_place(store.mirror)
        away = {*copy_packs(store, alive, store.mirror, skip_damaged=True)}
        if away and not lose_damaged:
            with store.database.session(tenant_id, read_only=True) as session:
                waiting = {
                    pack.id: pack.size_bytes
                    for pack in doomed
                    if takers_of(store, session, pack.id, pack.size_bytes, away)
                }
    for pack in doomed:
        if pack.id not in waiting:
            store.keyring.destroy(tenant_id, pack.id)
            store.backend.delete(pack_name(tenant_id, pack.id))
            with store.database.session(tenant_id) as session:
                session.execute(sa.delete(Pack).where(Pack.id == pack.id))
    return Finished(sum(pack.size_bytes for pack in doomed if pack.id not in waiting), waiting)


def takers_of(store: BlobStore, session: TenantSession, pack_id: str, size_bytes: int, among: set[str]) -> set[str]:
    """Return those of some packs that hold what a doomed pack held, or what that leans on now.

    All of them where it cannot say any more what it held; none where it had no bytes, or its key went already.
    """
    try:
        if not size_bytes or not store.keyring.has(session.tenant_id, pack_id):
            return set()
        footer = read_footer(store.backend, store.keyring, session.tenant_id, pack_id, size_bytes)
    except (IntegrityError, NotFound, SchemaNewer):
        return among
    found: set[str] = set()
    for part in in_parts(placed.hash for placed in footer.segments):
        for one in find_segments(session, Segment.hash.in_(part)):
            found |= {one.pack_id, one.root.pack_id}
    for part in in_parts(file["digests"]["sha256"] for file in footer.files):
        found.update(session.scalars(sa.select(BlobRow.pack_id).where(BlobRow.digest.in_(part))))
    return found & among


def _move(
    store: BlobStore, tenant_id: str, living: Living, dropped: Collection[int], begin: Callable[[], Writer]
) -> list[Writer]:
    packs: list[Writer] = []
    damaged: list[Found] = []
    manifests = [manifest for _, manifest in living.files.values()]
    try:
        with disk_faults():
            for one in living.segments:
                try:
                    rewritten = _rewritten(store, tenant_id, one, dropped)
                except IntegrityError:
                    damaged.append(one)
                    continue
                if not packs or packs[-1].size_bytes >= PACK_BYTES:
                    if packs:
                        packs[-1].place(store.backend, [])
                    packs.append(begin())
                packs[-1].add(one.hash, one.size, *rewritten)
            if damaged:
                raise SurvivorsDamaged(damaged)
            if manifests and not packs:
                packs.append(begin())
            if packs:
                packs[-1].place(store.backend, manifests)
    except BaseException:
        for pack in packs:
            pack.abandon(store.backend)
        raise
    return packs


def _rewritten(
    store: BlobStore, tenant_id: str, one: Found, dropped: Collection[int]
) -> tuple[str, bytes | memoryview, bytes | None]:
    """Return codec, sealed-to-be bytes and reference of a survivor."""
    try:
        if one.reference and one.reference.number in dropped:
            content, width = store.reader.content(tenant_id, one), CODECS[one.codec].width
            alone = encode(content, width=width, level=store.level) if store.level else Encoded("raw", content)
            return alone.codec, alone.data, None
        return one.codec, store.reader.encoded(tenant_id, one), one.reference.hash if one.reference else None
    except NotFound as error:
        with suppress(NotFound):
            store.reader.look_again(tenant_id, [one])
        raise StaleState(f"segment {one.hash.hex()} moved meanwhile; nothing happened, look again") from error


def _refuse_needed(session: Session, file_ids: Collection[str]) -> None:
    """Hold the rows of files that go, and see who names them; who names one later waits here and finds it gone."""
    rows = sa.select(BlobRow.digest).where(BlobRow.id.in_(file_ids)).order_by(BlobRow.digest).with_for_update()
    if needed := names_of(session, session.scalars(rows).all()) if file_ids else {}:
        by = ", ".join(name for names in needed.values() for name in names)
        raise StaleState(f"{min(needed)} is needed by {by} since a moment; nothing happened, look again")


def _doom(session: Session, pack_ids: set[str]) -> None:
    """Doom packs and hold their rows: from here on nobody else moves what lies in them, or adds to it."""
    standing = sa.update(Pack).where(Pack.id.in_(pack_ids), Pack.doomed_at.is_(None))
    taken = session.execute(standing.values(doomed_at=now()))
    if taken.rowcount != len(pack_ids):  # type: ignore[attr-defined]
        raise StaleState("somebody else is emptying the same packs; nothing happened, look again")


def _refuse_life(session: Session, pack_ids: set[str]) -> None:
    living = sa.select(Segment.number).where(Segment.pack_id.in_(pack_ids)).limit(1)
    carried = sa.select(BlobRow.id).where(BlobRow.pack_id.in_(pack_ids)).limit(1)
    if session.scalars(living).first() is not None or session.scalars(carried).first() is not None:
        raise StaleState("rows were added to a pack that is being emptied; nothing happened, look again")


def _switch(session: TenantSession, keyring: Keyring, packs: list[PackWriter], moving: dict[bytes, Found]) -> None:
    for pack in packs:
        add_pack(session, keyring, pack.facts())
        references = numbers_of(session, [placed.reference for placed in pack.segments if placed.reference])
        for placed in pack.segments:
            _point(session, pack.pack_id, placed, moving[placed.hash], references)


def _point(session: Session, pack_id: str, placed: Placed, seen: Found, references: dict[bytes, int]) -> None:
    changed = session.execute(
        sa.update(Segment)
        .where(Segment.number == seen.number, Segment.pack_id == seen.pack_id)
        .values(
            pack_id=pack_id,
            ordinal=placed.ordinal,
            offset=placed.offset,
            stored_size=placed.stored_size,
            codec=placed.codec,
            reference_number=references[placed.reference] if placed.reference else None,
        )
    )
    if changed.rowcount != 1:  # type: ignore[attr-defined]
        raise StaleState(f"segment {placed.hash.hex()} moved meanwhile; nothing happened, look again")


def _drop(session: Session, dropped: Collection[int]) -> None:
    """Deltas first: what they lean on is held by them."""
    for only in (Segment.reference_number.is_not(None), sa.true()):
        for part in in_parts(dropped):
            session.execute(sa.delete(Segment).where(Segment.number.in_(part), only))
