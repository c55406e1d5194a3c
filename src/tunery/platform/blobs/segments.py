"""Look segments up and read them: from the row to the verified plain content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from blake3 import blake3
from sqlalchemy.orm import Session, aliased

from tunery.errors import IntegrityError, NotFound
from tunery.platform.blobs.backends import Backend
from tunery.platform.blobs.codecs import decode
from tunery.platform.blobs.keyring import Keyring
from tunery.platform.blobs.packs import pack_name
from tunery.platform.blobs.sealing import Seal
from tunery.platform.blobs.tables import Piece, Segment
from tunery.platform.db import Database

__all__ = ["Found", "PiecePlace", "SegmentReader", "find_segments", "pieces_of"]

_PAGE = 512


@dataclass(frozen=True)
class Found:
    """A segment as its row says, with the one it leans on."""

    number: int
    hash: bytes
    size: int
    codec: str
    pack_id: str
    ordinal: int
    offset: int
    stored_size: int
    reference: Found | None = None

    @classmethod
    def of(cls, row: Segment, reference: Segment | None) -> Found:
        """Detach a row from its session."""
        return cls(
            row.number, row.hash, row.size, row.codec, row.pack_id, row.ordinal, row.offset, row.stored_size,
            cls.of(reference, None) if reference is not None else None,
        )  # fmt: skip

    @property
    def root(self) -> Found:
        """The segment that a delta may lean on: this one, or the one it leans on itself."""
        return self.reference or self


@dataclass(frozen=True)
class PiecePlace:
    """A segment's place in a file."""

    start: int
    key: str | None
    segment: Found


def find_segments(session: Session, where: sa.ColumnElement[bool]) -> list[Found]:
    """Return the tenant's segments that fulfil a condition on ``Segment``, in the order in which they lie."""
    leaned_on = aliased(Segment)
    statement = sa.select(Segment, leaned_on).outerjoin(leaned_on, Segment.reference_number == leaned_on.number)
    rows = session.execute(statement.where(where).order_by(Segment.pack_id, Segment.offset))
    return [Found.of(row, reference) for row, reference in rows]


def pieces_of(
    database: Database, tenant_id: str, blob_id: str, first: int = 0, end: int | None = None
) -> Iterator[PiecePlace]:
    """Yield a file's pieces in order that hold its bytes from ``first`` to ``end``; page by page, no session held."""
    leaned_on = aliased(Segment)
    position = -1
    while True:
        statement = (
            sa.select(Piece, Segment, leaned_on)
            .join(Segment, Piece.segment_number == Segment.number)
            .outerjoin(leaned_on, Segment.reference_number == leaned_on.number)
            .where(Piece.blob_id == blob_id, Piece.position > position, Piece.start + Segment.size > first)
            .order_by(Piece.position)
            .limit(_PAGE)
        )
        if end is not None:
            statement = statement.where(Piece.start < end)
        with database.session(tenant_id, read_only=True) as session:
            rows = session.execute(statement).all()
        for piece, segment, reference in rows:
            yield PiecePlace(piece.start, piece.key, Found.of(segment, reference))
        if len(rows) < _PAGE:
            return
        position = rows[-1][0].position


class SegmentReader:
    """Reads segments out of packs; every content is hashed before it is handed out."""

    def __init__(self, database: Database, backend: Backend, keyring: Keyring) -> None:
        self._database = database
        self._backend = backend
        self._keyring = keyring

    def encoded(self, tenant_id: str, found: Found) -> bytes:
        """Return a segment as its codec wrote it, unsealed."""
        seal = Seal(self._keyring.of(tenant_id, found.pack_id), tenant_id, found.pack_id)
        stored = self._backend.read(pack_name(tenant_id, found.pack_id), found.offset, found.stored_size)
        return seal.open(found.ordinal, found.hash, stored)

    def content(self, tenant_id: str, found: Found) -> bytes | memoryview:
        """Return the plain content of one segment.

        Raises:
            IntegrityError: What is stored is damaged, swapped or missing; names segment and pack. NotFound: It was
            collected or destroyed since it was looked up.
        """
        return self.contents(tenant_id, [found])[0]

    def contents(self, tenant_id: str, run: list[Found]) -> list[bytes | memoryview]:
        """Return the contents of segments that lie behind one another in one pack, with one read of the backend."""
        try:
            return self._read(tenant_id, run)
        except NotFound:  # a pack was emptied into another while we read
            return [self.content(tenant_id, found) for found in self.look_again(tenant_id, run)]

    def _read(self, tenant_id: str, run: list[Found]) -> list[bytes | memoryview]:
        first, last = run[0], run[-1]
        seal = Seal(self._keyring.of(tenant_id, first.pack_id), tenant_id, first.pack_id)
        length = last.offset + last.stored_size - first.offset
        stored = memoryview(self._backend.read(pack_name(tenant_id, first.pack_id), first.offset, length))
        return [self._open(tenant_id, seal, found, stored[found.offset - first.offset :]) for found in run]

    def _open(self, tenant_id: str, seal: Seal, found: Found, stored: memoryview) -> bytes | memoryview:
        data = seal.open(found.ordinal, found.hash, stored[: found.stored_size])
        reference = self.content(tenant_id, found.reference) if found.reference else None
        content = decode(found.codec, data, found.size, reference)
        if blake3(content).digest() != found.hash:
            raise IntegrityError(f"segment {found.hash.hex()} does not hash to its name; restore it from a good copy")
        return content

    def look_again(self, tenant_id: str, run: list[Found]) -> list[Found]:
        """Return where segments lie now that were not found where they lay.

        Raises:
            IntegrityError: One should be there still. NotFound: one is nowhere any more.
        """
        with self._database.session(tenant_id, read_only=True) as session:
            hashes = [found.hash for found in run]
            fresh = {found.hash: found for found in find_segments(session, Segment.hash.in_(hashes))}
        for found in run:
            if found.hash not in fresh:
                raise NotFound(f"segment {found.hash.hex()} was collected or destroyed while it was read")
            if fresh[found.hash] == found:
                reason = self._keyring.fault_of(tenant_id, found.pack_id) or "it is gone, or cut off"
                raise IntegrityError(f"segment {found.hash.hex()} of pack {found.pack_id} cannot be read: {reason}")
        return [fresh[found.hash] for found in run]
