"""Write the rows of a placed pack, from its writer or from its own footer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tunery.errors import Unavailable
from tunery.kit.clock import now
from tunery.kit.ids import new_id
from tunery.platform.blobs.keyring import Keyring
from tunery.platform.blobs.packs import SCHEMA, PackFacts, Placed
from tunery.platform.blobs.tables import BlobRow, Pack, Piece, Segment
from tunery.platform.db import TenantSession

__all__ = ["add_pack", "in_parts", "manifest_of", "numbers_of", "publish"]

_MANY = 2_000
Item = TypeVar("Item")


def publish(session: TenantSession, keyring: Keyring, pack: PackFacts, manifests: list[dict[str, Any]]) -> None:
    """Make a placed pack, its segments and the files it completes visible; rows that stand already stay as they are.

    Raises:
        Unavailable: The pack was given up, or a segment that a file or a delta needs is not there (any more); the
        caller's transaction must not be committed.
    """
    add_pack(session, keyring, pack)
    _add(session, pack.pack_id, [placed for placed in pack.segments if not placed.reference])
    _add(session, pack.pack_id, [placed for placed in pack.segments if placed.reference])
    for manifest in manifests:
        _add_file(session, pack.pack_id, manifest)


def add_pack(session: TenantSession, keyring: Keyring, pack: PackFacts) -> None:
    """Write a pack's row, or hold the one that stands until the transaction ends.

    Collection and destruction doom a pack by its row before they take its key: whoever comes second at the row sees it.

    Raises:
        Unavailable: The pack was given up before it got its row, or is being emptied.
    """
    row = session.get(Pack, pack.pack_id, with_for_update=True, populate_existing=True)
    if row is None:
        facts = {"size_bytes": pack.size_bytes, "checksum": pack.checksum, "content_bytes": pack.content_bytes}
        session.add(Pack(id=pack.pack_id, schema=SCHEMA, files=pack.files, **facts))
        session.flush()
    if (row and row.doomed_at) or not keyring.has(session.tenant_id, pack.pack_id):
        raise Unavailable(f"pack {pack.pack_id} was given up meanwhile; nothing of this file was kept, send it again")


def in_parts(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield the items in lists that are short enough for one statement."""
    remaining = iter(items)
    while part := list(islice(remaining, _MANY)):
        yield part


def manifest_of(session: Session, row: BlobRow) -> dict[str, Any]:
    """Return a file's manifest as the footer of a pack carries it: ``pieces`` are (hash, size, key) in order."""
    statement = sa.select(Segment.hash, Segment.size, Piece.key).join(Segment, Piece.segment_number == Segment.number)
    pieces = session.execute(statement.where(Piece.blob_id == row.id).order_by(Piece.position))
    return {
        "schema": row.schema,
        "digests": {"sha256": row.digest, "blake3": row.blake3},
        "size_bytes": row.size_bytes,
        "media_type": row.media_type,
        "pieces": [[name.hex(), size, key] for name, size, key in pieces],
    }


def numbers_of(session: Session, hashes: Iterable[bytes], *, plain: bool = False) -> dict[bytes, int]:
    """Return the numbers of the tenant's segments by hash; of no delta where ``plain``, for none may lean on one."""
    fitting = Segment.reference_number.is_(None) if plain else sa.true()
    found: dict[bytes, int] = {}
    for part in in_parts(set(hashes)):
        rows = session.execute(sa.select(Segment.hash, Segment.number).where(Segment.hash.in_(part), fitting))
        found.update({name: number for name, number in rows})
    return found


def _needed(session: Session, hashes: list[bytes], *, plain: bool = False) -> dict[bytes, int]:
    found = numbers_of(session, hashes, plain=plain)
    if missing := [name.hex() for name in hashes if name not in found]:
        raise Unavailable(f"segment {missing[0]} is gone; nothing of this file was kept, send it again")
    return found


def _add(session: Session, pack_id: str, placed: list[Placed]) -> None:
    standing: set[bytes] = set()
    for part in in_parts(one.hash for one in placed):
        standing.update(session.scalars(sa.select(Segment.hash).where(Segment.hash.in_(part))))
    placed = [one for one in placed if one.hash not in standing]
    references = _needed(session, [one.reference for one in placed if one.reference], plain=True)
    session.add_all(
        Segment(
            hash=one.hash,
            size=one.size,
            codec=one.codec,
            pack_id=pack_id,
            ordinal=one.ordinal,
            offset=one.offset,
            stored_size=one.stored_size,
            reference_number=references[one.reference] if one.reference else None,
            touched_at=now(),
        )
        for one in placed
    )
    session.flush()


def _add_file(session: Session, pack_id: str, manifest: dict[str, Any]) -> None:
    digests = manifest["digests"]
    standing = session.scalars(sa.select(BlobRow).where(BlobRow.digest == digests["sha256"])).one_or_none()
    if standing is not None:
        standing.touched_at = now()
        return
    row = BlobRow(
        id=new_id(),
        digest=digests["sha256"],
        blake3=digests["blake3"],
        size_bytes=manifest["size_bytes"],
        media_type=manifest["media_type"],
        pack_id=pack_id,
        touched_at=now(),
    )
    session.add(row)
    session.flush()
    numbers = _needed(session, [bytes.fromhex(name) for name, _, _ in manifest["pieces"]])
    start = 0
    for position, (name, size, key) in enumerate(manifest["pieces"]):
        number = numbers[bytes.fromhex(name)]
        session.add(Piece(blob_id=row.id, position=position, start=start, segment_number=number, key=key))
        start += size
    session.flush()
