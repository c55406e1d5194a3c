"""Write the rows of a placed pack, from its writer or from its own footer."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tunery.errors import Unavailable
from tunery.kit.clock import now
from tunery.kit.ids import new_id
from tunery.platform.blobs.packs import SCHEMA, PackFacts, Placed
from tunery.platform.blobs.tables import BlobRow, Pack, Piece, Segment

__all__ = ["manifest_of", "numbers_of", "publish"]

_MANY = 2_000


def publish(session: Session, pack: PackFacts, manifests: list[dict[str, Any]]) -> None:
    """Make a placed pack, its segments and the files it completes visible; rows that stand already stay as they are.

    Raises:
        Unavailable: A segment that a file or a delta needs is not there (any more); nothing was written.
    """
    if session.get(Pack, pack.pack_id) is None:
        row = Pack(id=pack.pack_id, schema=SCHEMA, size_bytes=pack.size_bytes, checksum=pack.checksum)
        session.add(row)
        session.flush()
    leaning = [placed for placed in pack.segments if placed.reference]
    _add(session, pack.pack_id, [placed for placed in pack.segments if not placed.reference])
    _add(session, pack.pack_id, leaning)
    for manifest in manifests:
        _add_file(session, pack.pack_id, manifest)


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


def numbers_of(session: Session, hashes: list[bytes]) -> dict[bytes, int]:
    """Return the numbers of the tenant's segments by hash. Raises: Unavailable: one of them is not there."""
    wanted = list(dict.fromkeys(hashes))
    found: dict[bytes, int] = {}
    for start in range(0, len(wanted), _MANY):
        part = wanted[start : start + _MANY]
        rows = session.execute(sa.select(Segment.hash, Segment.number).where(Segment.hash.in_(part)))
        found.update({name: number for name, number in rows})
    if missing := [name.hex() for name in wanted if name not in found]:
        raise Unavailable(f"segment {missing[0]} is gone; nothing of this file was kept, send it again")
    return found


def _add(session: Session, pack_id: str, placed: list[Placed]) -> None:
    standing: set[bytes] = set()
    for start in range(0, len(placed), _MANY):
        hashes = [one.hash for one in placed[start : start + _MANY]]
        standing.update(session.scalars(sa.select(Segment.hash).where(Segment.hash.in_(hashes))))
    references = numbers_of(session, [one.reference for one in placed if one.reference])
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
        if one.hash not in standing
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
    numbers = numbers_of(session, [bytes.fromhex(name) for name, _, _ in manifest["pieces"]])
    start = 0
    for position, (name, size, key) in enumerate(manifest["pieces"]):
        number = numbers[bytes.fromhex(name)]
        session.add(Piece(blob_id=row.id, position=position, start=start, segment_number=number, key=key))
        start += size
    session.flush()
