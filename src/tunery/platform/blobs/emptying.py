"""Move what lives in packs to new ones and let the old ones go: the core of collection and of destruction.

    1. survivors are sealed into new packs, which are placed and still invisible
    2. one transaction points their rows there, takes the dropped segments away and dooms the old packs
    3. the keys of doomed packs are destroyed, then their objects, then their rows

A crash after 1 leaves a pack without a row; after 2, ``finish_doomed`` goes on where it stopped. Survivors that leaned
on what is dropped are encoded anew, and their packs go as well: content and delta together would give it back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tunery.errors import StaleState
from tunery.kit.clock import now
from tunery.platform.blobs.codecs import encode
from tunery.platform.blobs.index import manifest_of, numbers_of
from tunery.platform.blobs.packs import SCHEMA, PackWriter, Placed, pack_name
from tunery.platform.blobs.segments import Found, find_segments
from tunery.platform.blobs.store import BlobStore
from tunery.platform.blobs.tables import BlobRow, Pack, Segment
from tunery.platform.blobs.writing import PACK_BYTES

__all__ = ["empty_packs", "finish_doomed"]


def empty_packs(
    store: BlobStore, tenant_id: str, pack_ids: Iterable[str], *, dropped: set[int], dropped_files: set[str]
) -> set[str]:
    """Let packs go, after moving whatever lives in them and is not dropped.

    Args:
        store: The store.
        tenant_id: Whose packs these are.
        pack_ids: The packs to let go; those of survivors that lean on what is dropped are added.
        dropped: Numbers of segments that go with them.
        dropped_files: Ids of the file rows that go in the same transaction.

    Returns:
        The packs that are doomed now; call ``finish_doomed`` next.

    Raises:
        Conflict: A new file names what is dropped, or a survivor moved meanwhile; nothing happened, look again.
    """
    with store.database.session(tenant_id, read_only=True) as session:
        leaning = find_segments(session, Segment.reference_number.in_(dropped)) if dropped else []
        doomed = {*pack_ids, *(one.pack_id for one in leaning if one.number not in dropped)}
        moving = [one for one in find_segments(session, Segment.pack_id.in_(doomed)) if one.number not in dropped]
        carried = session.scalars(
            sa.select(BlobRow).where(BlobRow.pack_id.in_(doomed), BlobRow.id.not_in(dropped_files))
        ).all()
        manifests = [manifest_of(session, row) for row in carried]
    packs = _move(store, tenant_id, moving, dropped, manifests)
    try:
        with store.database.session(tenant_id) as session:
            _switch(session, packs, {one.hash: one for one in moving})
            moved_files = sa.update(BlobRow).where(BlobRow.id.in_([row.id for row in carried]))
            if carried:
                session.execute(moved_files.values(pack_id=packs[-1].pack_id))
            session.execute(sa.delete(BlobRow).where(BlobRow.id.in_(dropped_files)))
            _drop(session, dropped)
            session.execute(sa.update(Pack).where(Pack.id.in_(doomed)).values(doomed_at=now()))
    except BaseException:
        for pack in packs:
            pack.abandon(store.backend)
        raise
    return doomed


def finish_doomed(store: BlobStore, tenant_id: str) -> int:
    """Destroy keys, objects and rows of doomed packs; return how many bytes that freed. Repeating it is harmless."""
    with store.database.session(tenant_id, read_only=True) as session:
        doomed = session.scalars(sa.select(Pack).where(Pack.doomed_at.is_not(None))).all()
    for pack in doomed:
        store.keyring.destroy(tenant_id, pack.id)
        store.backend.delete(pack_name(tenant_id, pack.id))
        with store.database.session(tenant_id) as session:
            session.execute(sa.delete(Pack).where(Pack.id == pack.id))
    return sum(pack.size_bytes for pack in doomed)


def _move(
    store: BlobStore, tenant_id: str, moving: list[Found], dropped: set[int], manifests: list[dict[str, Any]]
) -> list[PackWriter]:
    packs: list[PackWriter] = []
    try:
        for one in moving:
            if not packs or packs[-1].size_bytes >= PACK_BYTES:
                if packs:
                    packs[-1].place(store.backend, [])
                packs.append(PackWriter(tenant_id, store.staging, store.keyring))
            if one.reference and one.reference.number in dropped:
                fresh = encode(store.reader.content(tenant_id, one), width=1)
                packs[-1].add(one.hash, one.size, fresh.codec, fresh.data, None)
            else:
                leans_on = one.reference.hash if one.reference else None
                packs[-1].add(one.hash, one.size, one.codec, store.reader.encoded(tenant_id, one), leans_on)
        if manifests and not packs:
            packs.append(PackWriter(tenant_id, store.staging, store.keyring))
        if packs:
            packs[-1].place(store.backend, manifests)
    except BaseException:
        for pack in packs:
            pack.abandon(store.backend)
        raise
    return packs


def _switch(session: Session, packs: list[PackWriter], moving: dict[bytes, Found]) -> None:
    for pack in packs:
        session.add(Pack(id=pack.pack_id, schema=SCHEMA, size_bytes=pack.size_bytes, checksum=pack.checksum))
        session.flush()
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


def _drop(session: Session, dropped: set[int]) -> None:
    """Deltas first: what they lean on is held by them."""
    for only in (Segment.reference_number.is_not(None), sa.true()):
        session.execute(sa.delete(Segment).where(Segment.number.in_(dropped), only))
