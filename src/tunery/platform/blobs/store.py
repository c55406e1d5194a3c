"""Bytes by their digest: the face of the store.

A file is cut into segments, each kept once within a tenant, encoded as small as it gets, sealed, and placed with others
in packs; ``docs/decisions/0007-the-store.md`` tells why. A file is visible once the transaction of its rows commits; it
is kept as long as a row of the house names it (``collect``).
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import sqlalchemy as sa
from blake3 import blake3

from tunery.errors import IntegrityError, NotFound
from tunery.kit.clock import now
from tunery.kit.digests import check_digest
from tunery.kit.ids import new_id
from tunery.platform.blobs.backends import Backend
from tunery.platform.blobs.backends.disk import disk_faults
from tunery.platform.blobs.codecs import QUICK
from tunery.platform.blobs.keyring import Keyring
from tunery.platform.blobs.segments import PiecePlace, SegmentReader, pieces_of
from tunery.platform.blobs.tables import BlobRow
from tunery.platform.blobs.writing import Wanted, Writing
from tunery.platform.db import Database

__all__ = ["Blob", "BlobStore", "OpenBlob"]

_PIECE = 1 << 20
_RUN_BYTES = 16 << 20
_AHEAD = 2


@dataclass(frozen=True)
class Blob:
    """What the store knows of some bytes: their SHA-256, their length and what they are."""

    digest: str
    size_bytes: int
    media_type: str = "application/octet-stream"


class BlobStore:
    """Immutable bytes by SHA-256, apart for each tenant.

    Args:
        database: Holds the index.
        backend: Holds the packs.
        keyring: Holds their keys.
        staging: A private folder of this machine for packs that are being written.
        level: How small new segments are made (``codecs``), 0 for not at all; what is kept already is read either way.
    """

    def __init__(
        self, database: Database, backend: Backend, keyring: Keyring, staging: Path, *, level: int = QUICK
    ) -> None:
        self.database = database
        self.backend = backend
        self.keyring = keyring
        self.staging = staging
        self.level = level
        self.mirror: Backend | None = None
        """Where packs that take over from others must lie as well, before keys of those are destroyed."""
        self.reader = SegmentReader(database, backend, keyring)
        self.threads = ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2), thread_name_prefix="store")
        self._placing = ThreadPoolExecutor(max_workers=4, thread_name_prefix="store-placing")

    def put(
        self,
        tenant_id: str,
        stream: Iterable[bytes] | BinaryIO | Path | bytes,
        media_type: str = "application/octet-stream",
        like: str | None = None,
        *,
        expected_digest: str | None = None,
        max_bytes: int | None = None,
        reservation: str | None = None,
    ) -> Blob:
        """Keep bytes and return their digest; equal bytes are kept once.

        Args:
            tenant_id: Whose bytes these are.
            stream: A path, bytes, an open binary file, or pieces.
            media_type: What the bytes are.
            like: Digest of the bytes they may be a near copy of (a base or a parent); one that is not here is no error.
            expected_digest: Refuse anything else than these bytes.
            max_bytes: Refuse more than this.
            reservation: What holds room for them in the quota; used up with the bytes becoming visible.

        Raises:
            DigestMismatch: The digest is not the expected one. TooLarge: more than ``max_bytes``. FormatInvalid: the
            media type promises a model file and its header lies. Exhausted: disk or quota is full. In each case nothing
            is kept.
        """
        ways = self.database, self.backend, self.keyring, self.staging, self.threads, self._placing
        writing = Writing(tenant_id, *ways, level=self.level)
        digest, size = writing.put(_pieces(stream), Wanted(media_type, like, expected_digest, max_bytes, reservation))
        return Blob(digest, size, media_type)

    def open(self, tenant_id: str, digest: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of a file, or of a range of it; only the segments of the range are read, each verified.

        Raises:
            NotFound: This tenant has no such bytes. IntegrityError: what is stored is damaged; it is not handed out.
        """
        row = self._row(tenant_id, digest)
        end = row.size_bytes if length is None else min(row.size_bytes, start + length)
        return map(bytes, self._range(row, start, end))

    def look_up(self, tenant_id: str, digest: str) -> OpenBlob:
        """Return a file to be read in many places. Raises: NotFound."""
        return OpenBlob(self, self._row(tenant_id, digest))

    def read(self, tenant_id: str, digest: str) -> bytes:
        """Return all bytes of a (small) file, verified."""
        return b"".join(self.open(tenant_id, digest))

    def claim(self, tenant_id: str, digest: str) -> Blob:
        """Return what is known of a file and keep it from being collected until a row names it. Raises: NotFound."""
        with self.database.session(tenant_id) as session:
            session.execute(sa.update(BlobRow).where(BlobRow.digest == check_digest(digest)).values(touched_at=now()))
        row = self._row(tenant_id, digest)
        return Blob(row.digest, row.size_bytes, row.media_type)

    def size(self, tenant_id: str, digest: str) -> int:
        """Return the length in bytes. Raises: NotFound."""
        return self._row(tenant_id, digest).size_bytes

    def exists(self, tenant_id: str, digest: str) -> bool:
        """Tell whether this tenant has the bytes."""
        try:
            return self._row(tenant_id, digest).size_bytes >= 0
        except NotFound:
            return False

    def checkout(self, tenant_id: str, digest: str, target: Path) -> None:
        """Place a read-only copy at a path, verified byte by byte every time; a good one that stands is left.

        Raises:
            IntegrityError: The stored bytes are damaged; nothing stands at the target then.
        """
        row = self._row(tenant_id, digest)
        if target.is_file() and not target.is_symlink() and _blake3_file(target) == row.blake3:
            return
        target.unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = target.with_name(f".{target.name}.{new_id()}")
        try:
            with disk_faults(), staging.open("xb") as file:
                for piece in self._range(row, 0, row.size_bytes):
                    file.write(piece)
            staging.chmod(0o440)
            os.replace(staging, target)
        finally:
            staging.unlink(missing_ok=True)

    def _row(self, tenant_id: str, digest: str) -> BlobRow:
        with self.database.session(tenant_id, read_only=True) as session:
            row = session.scalars(sa.select(BlobRow).where(BlobRow.digest == check_digest(digest))).one_or_none()
        if row is None:
            raise NotFound(f"there are no bytes with the digest {digest} here")
        return row

    def _range(
        self, row: BlobRow, start: int, end: int, places: Iterable[PiecePlace] | None = None
    ) -> Iterator[bytes | memoryview]:
        if places is None:
            places = pieces_of(self.database, row.tenant_id, row.id, start, end)
        position = start
        try:
            for piece in self._verified(row.tenant_id, places, start, end):
                position += len(piece)
                yield piece
        except IntegrityError as error:
            raise IntegrityError(
                f"file {row.digest} is damaged in the store ({error}); `tunery store check --repair backup` mends "
                f"packs, not keys"
            ) from error
        if position < end:
            if self._row(row.tenant_id, row.digest).id != row.id:
                raise NotFound(f"file {row.digest} was replaced while it was read; read it again")
            raise IntegrityError(
                f"file {row.digest} ends at byte {position} of {end}: its index is damaged; rebuild it"
            )

    def _verified(
        self, tenant_id: str, places: Iterable[PiecePlace], start: int, end: int
    ) -> Iterator[bytes | memoryview]:
        """Read ahead in threads, and hand out in order."""
        waiting: deque[tuple[list[PiecePlace], Future[list[bytes | memoryview]]]] = deque()
        try:
            for run in _runs(places):
                segments = [place.segment for place in run]
                waiting.append((run, self.threads.submit(self.reader.contents, tenant_id, segments)))
                if len(waiting) > _AHEAD:
                    yield from _clipped(*waiting.popleft(), start, end)
            while waiting:
                yield from _clipped(*waiting.popleft(), start, end)
        finally:
            for _, future in waiting:
                future.cancel()


class OpenBlob:
    """A file of the store as it was looked up, for many readings: where its pieces lie is asked once.

    Attributes:
        size: Its length in bytes.
    """

    def __init__(self, store: BlobStore, row: BlobRow) -> None:
        self.size = row.size_bytes
        self._store = store
        self._row = row
        self._places: list[PiecePlace] = []

    def read(self, start: int, length: int) -> bytes:
        """Return a stretch of it, verified, as far as it reaches. Raises: NotFound, IntegrityError: as ``open``."""
        end = min(self.size, start + length)
        if start >= end:
            return b""
        if not self._places:
            self._places = [*pieces_of(self._store.database, self._row.tenant_id, self._row.id)]
        first = bisect_right(self._places, start, key=lambda place: place.start) - 1
        last = bisect_left(self._places, end, key=lambda place: place.start)
        return b"".join(self._store._range(self._row, start, end, self._places[max(0, first) : last]))


def _clipped(
    run: list[PiecePlace], contents: Future[list[bytes | memoryview]], start: int, end: int
) -> Iterator[bytes | memoryview]:
    for place, content in zip(run, contents.result(), strict=True):
        yield memoryview(content)[max(0, start - place.start) : end - place.start]


def _runs(places: Iterable[PiecePlace]) -> Iterator[list[PiecePlace]]:
    """Join pieces whose segments lie behind one another in a pack, so that they are read at once."""
    run: list[PiecePlace] = []
    size = 0
    for place in places:
        last = run[-1].segment if run else None
        follows = last and (last.pack_id, last.offset + last.stored_size) == (
            place.segment.pack_id,
            place.segment.offset,
        )
        if run and (not follows or size + place.segment.size > _RUN_BYTES):
            yield run
            run, size = [], 0
        run.append(place)
        size += place.segment.size
    if run:
        yield run


def _pieces(stream: Iterable[bytes] | BinaryIO | Path | bytes) -> Iterator[bytes]:
    if isinstance(stream, bytes):
        yield stream
    elif isinstance(stream, Path):
        with stream.open("rb") as file:
            yield from iter(lambda: file.read(_PIECE), b"")
    elif hasattr(stream, "read"):
        yield from iter(lambda: stream.read(_PIECE), b"")
    else:
        yield from stream


def _blake3_file(path: Path) -> str:
    hasher = blake3(max_threads=blake3.AUTO)
    hasher.update_mmap(path)
    return hasher.hexdigest()
