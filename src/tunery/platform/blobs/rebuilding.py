"""Write the index again from the packs themselves, after the database was lost or put back from an older copy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from blake3 import blake3
from sqlalchemy.orm import Session

from tunery.errors import IntegrityError, NotFound, Unavailable
from tunery.platform.blobs.forgetting import forget_packs
from tunery.platform.blobs.index import in_parts, numbers_of, publish
from tunery.platform.blobs.packs import Footer, PackFacts, Placed, pack_name, read_footer
from tunery.platform.blobs.store import BlobStore
from tunery.platform.blobs.tables import BlobRow, Pack, Segment

__all__ = ["Rebuilt", "rebuild"]


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild found.

    Attributes:
        packs: Those that were read.
        unreadable: Those that could not be, and why.
        files: Digests of the files that are whole again.
        destroyed: Digests of the files that an older index named, and that were destroyed since.
    """

    packs: list[str]
    unreadable: dict[str, str]
    files: list[str]
    destroyed: list[str]


def rebuild(store: BlobStore, tenant_id: str) -> Rebuilt:
    """Add the rows of every pack that has its key, and point rows there whose own pack cannot be read any more.

    Damaged packs are named and left out. Deltas and files wait until the packs they lean on were read, so the order of
    the packs does not matter. What lies in packs whose keys were destroyed, and nowhere else, leaves the index. Do it
    while nobody writes.
    """
    facts: list[tuple[PackFacts, Footer]] = []
    unreadable: dict[str, str] = {}
    for entry in store.backend.entries(tenant_id):
        pack_id = entry.name.rpartition("/")[2]
        try:
            footer = read_footer(store.backend, store.keyring, tenant_id, pack_id, entry.size_bytes)
        except (IntegrityError, NotFound) as error:
            unreadable[pack_id] = str(error)
            continue
        checksum = blake3(store.backend.read(pack_name(tenant_id, pack_id))).hexdigest()
        content_bytes = sum(placed.stored_size for placed in footer.segments)
        counted = entry.size_bytes, checksum, content_bytes, len(footer.files)
        facts.append((PackFacts(pack_id, *counted, footer.segments), footer))
    files = _publish_all(store, tenant_id, facts)
    destroyed = store.keyring.destroyed(tenant_id)
    with store.database.session(tenant_id) as session:
        gone = forget_packs(session, destroyed.intersection(session.scalars(sa.select(Pack.id))))
    return Rebuilt([fact.pack_id for fact, _ in facts], unreadable, files, sorted(gone))


def _publish_all(store: BlobStore, tenant_id: str, facts: list[tuple[PackFacts, Footer]]) -> list[str]:
    """First what leans on nothing, then deltas, then files: each needs the rows of those before it."""
    files: list[str] = []
    whole = {fact.pack_id for fact, _ in facts}
    for fact, _ in facts:
        _publish(store, tenant_id, _only_plain(fact), [], whole)
    for fact, _ in facts:
        _publish(store, tenant_id, fact, [], whole)
    for fact, footer in facts:
        bare = replace(fact, segments=[])
        files += [one["digests"]["sha256"] for one in footer.files if _publish(store, tenant_id, bare, [one], whole)]
    return sorted(files)


def _only_plain(fact: PackFacts) -> PackFacts:
    return replace(fact, segments=[placed for placed in fact.segments if not placed.reference])


def _publish(store: BlobStore, tenant_id: str, fact: PackFacts, files: list[dict[str, Any]], whole: set[str]) -> bool:
    try:
        with store.database.session(tenant_id) as session:
            wanted = [placed.reference for placed in fact.segments if placed.reference]
            there = numbers_of(session, wanted, plain=True)
            # A delta may lie there dead, long after what it leaned on.
            segments = [placed for placed in fact.segments if placed.reference is None or placed.reference in there]
            publish(session, store.keyring, replace(fact, segments=segments), files)
            _point_here(session, fact.pack_id, segments, there, whole)
            for one in files:
                row = session.scalars(sa.select(BlobRow).where(BlobRow.digest == one["digests"]["sha256"])).one()
                if row.pack_id not in whole:
                    row.pack_id = fact.pack_id
    except Unavailable:
        return False  # a piece of the file is in no readable pack, or the pack is being emptied
    return True


def _point_here(
    session: Session, pack_id: str, segments: list[Placed], references: dict[bytes, int], whole: set[str]
) -> None:
    """Correct rows of an older index, whose packs were emptied since; nothing that is leaned on becomes a delta."""
    here = {placed.hash: placed for placed in segments}
    for part in in_parts(here):
        for row in session.scalars(sa.select(Segment).where(Segment.hash.in_(part))):
            placed = here[row.hash]
            leaning = sa.select(Segment.number).where(Segment.reference_number == row.number).limit(1)
            if row.pack_id in whole or (placed.reference and session.scalar(leaning)):
                continue
            row.pack_id, row.codec, row.ordinal = pack_id, placed.codec, placed.ordinal
            row.offset, row.stored_size = placed.offset, placed.stored_size
            row.reference_number = references[placed.reference] if placed.reference else None
