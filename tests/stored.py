"""Reach into a store on local disk, to damage what lies there."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from tunery.platform.blobs.tables import BlobRow, Piece, Segment
from tunery.platform.ground import Ground


def stored_at(ground: Ground, tenant_id: str, digest: str) -> tuple[Path, int]:
    """Return the pack that holds the last segment of a file, and where in it that segment's last byte lies."""
    statement = (
        sa.select(Segment)
        .join(Piece, Piece.segment_number == Segment.number)
        .join(BlobRow, Piece.blob_id == BlobRow.id)
        .where(BlobRow.digest == digest)
        .order_by(Piece.position.desc())
    )
    with ground.database.session(tenant_id, read_only=True) as session:
        segment = session.scalars(statement).first()
    assert segment is not None
    path = ground.settings.home / "store" / "packs" / tenant_id / segment.pack_id
    return path, segment.offset + segment.stored_size - 1


def flip_a_bit(ground: Ground, tenant_id: str, digest: str) -> None:
    """Flip one bit of a stored file."""
    path, position = stored_at(ground, tenant_id, digest)
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1]))
