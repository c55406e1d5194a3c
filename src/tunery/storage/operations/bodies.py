"""Files that come as one body: room is reserved before the bytes are read, and as they come."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import timedelta

import sqlalchemy as sa

from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.kit.ids import new_id
from tunery.kit.media_types import BYTES
from tunery.platform.blobs import Blob
from tunery.platform.ground import Ground
from tunery.storage.quotas import reserve, reserved_for
from tunery.storage.tables import UploadSession

__all__ = ["put_body"]

_STEP_BYTES = 64 << 20
_SMALL_BYTES = 8 << 20
"""So much is let in without a reservation; it is counted when it becomes visible, like everything."""
_LEASE = timedelta(minutes=30)
"""A reservation whose server died is void after this; a living one is renewed while bytes come."""
_RENEWAL_SECONDS = 60.0


def put_body(
    ground: Ground,
    actor: Actor,
    pieces: Iterable[bytes],
    announced_bytes: int | None = None,
    *,
    media_type: str = BYTES,
    like: str | None = None,
    digest: str | None = None,
) -> Blob:
    """Keep a body; no session is held while it comes.

    Args:
        ground: The ground.
        actor: Whose it is.
        pieces: Its bytes as they come.
        announced_bytes: Its length, where that was said: room for all of it is reserved before the first byte is read.
        media_type: What it is.
        like: Digest of a stored file it may be a near copy of.
        digest: The SHA-256 it must have.

    Raises:
        Exhausted: Disk or quota is full. TooLarge, DigestMismatch, FormatInvalid: as ``BlobStore.put`` says. In each
        case nothing is kept.
    """
    room = _Room(ground, actor)
    try:
        room.hold(announced_bytes or 0)
        return ground.blobs.put(
            actor.tenant_id,
            room.counted(pieces),
            media_type,
            like,
            expected_digest=digest,
            max_bytes=ground.settings.max_upload_bytes,
            reservation=room.id,
        )
    finally:
        room.give_back()


class _Room:
    """What a body may take of the quota; nothing where its tenant has none."""

    def __init__(self, ground: Ground, actor: Actor) -> None:
        self.id = new_id()
        self._ground, self._actor = ground, actor
        self._held_bytes = _SMALL_BYTES
        self._renewed = 0.0

    def hold(self, size_bytes: int) -> None:
        """Reserve room for so many bytes, or renew it. Raises: Exhausted."""
        if size_bytes <= _SMALL_BYTES:
            return
        with self._ground.database.session(self._actor.tenant_id) as session:
            self._renewed, self._held_bytes = time.monotonic(), size_bytes
            reserved = reserved_for(size_bytes)
            if not reserve(session, reserved, self.id):
                return
            row = session.get(UploadSession, self.id)
            if row is None:
                about = {"digest": "", "media_type": BYTES, "part_bytes": 1, "created_by": self._actor.name}
                row = UploadSession(id=self.id, status="body", **about)
                session.add(row)
            row.size_bytes, row.reserved_bytes, row.expires_at = size_bytes, reserved, now() + _LEASE

    def counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Pass the pieces on, and reserve more room before they need it."""
        size = 0
        for piece in pieces:
            size += len(piece)
            if size > self._held_bytes:
                self.hold(size + _STEP_BYTES)
            elif self._renewed and time.monotonic() - self._renewed > _RENEWAL_SECONDS:
                self.hold(self._held_bytes)
            yield piece

    def give_back(self) -> None:
        """Take the reservation away; the bytes that became visible count themselves."""
        if self._renewed:
            with self._ground.database.session(self._actor.tenant_id) as session:
                session.execute(sa.delete(UploadSession).where(UploadSession.id == self.id))
