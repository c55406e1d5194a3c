"""The way in: cut, hash, look up, encode, seal, place, and one transaction that makes it visible."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from blake3 import blake3

from tunery.errors import Conflict, DigestMismatch, IntegrityError, NotFound, TooLarge
from tunery.kit.clock import now
from tunery.kit.digests import check_digest
from tunery.platform.blobs.admission import ADMISSIONS
from tunery.platform.blobs.backends import Backend
from tunery.platform.blobs.backends.disk import disk_faults
from tunery.platform.blobs.codecs import CODECS, Encoded, encode
from tunery.platform.blobs.cutting import Cut, cut
from tunery.platform.blobs.index import publish
from tunery.platform.blobs.keyring import Keyring
from tunery.platform.blobs.packs import PackWriter
from tunery.platform.blobs.segments import Found, SegmentReader, find_segments, pieces_of
from tunery.platform.blobs.tables import BlobRow, Segment
from tunery.platform.db import Database

__all__ = ["Wanted", "Writing"]

log = structlog.get_logger(__name__)

PACK_BYTES = 128 << 20
_BATCH_BYTES = 8 << 20
_BATCH_SEGMENTS = 1_000
_AHEAD = 2
_FRESH = timedelta(minutes=10)
"""A segment found again is touched when it was not for so long; ``collect`` spares what was touched lately."""


@dataclass(frozen=True)
class Wanted:
    """What the caller says of the bytes to come."""

    media_type: str
    like: str | None = None
    expected_digest: str | None = None
    max_bytes: int | None = None
    reservation: str | None = None


@dataclass(frozen=True)
class _Ready:
    """One piece, hashed; ``encoded`` where the tenant has no such segment yet."""

    cut: Cut
    hash: bytes
    found: Found | None
    encoded: Encoded | None = None
    reference: Found | None = None


class Writing:
    """One file on its way into the store; used once."""

    def __init__(
        self,
        tenant_id: str,
        database: Database,
        backend: Backend,
        keyring: Keyring,
        staging: Path,
        threads: ThreadPoolExecutor,
        placing: ThreadPoolExecutor,
        *,
        level: int,
    ) -> None:
        self._tenant_id = tenant_id
        self._database = database
        self._backend = backend
        self._keyring = keyring
        self._staging = staging
        self._threads = threads
        self._placing = placing
        self._on_its_way: Future[None] | None = None
        self._level = level
        self._reader = SegmentReader(database, backend, keyring)
        self._packs: list[PackWriter] = []
        self._open: PackWriter | None = None
        self._pieces: list[tuple[bytes, int, str | None]] = []
        self._taken: set[bytes] = set()
        self._sha256, self._blake3, self._size = hashlib.sha256(), blake3(), 0

    def put(self, pieces: Iterable[bytes], wanted: Wanted) -> tuple[str, int]:
        """Keep the bytes and return digest and length; nothing of them is visible before the end, or kept on error."""
        try:
            with disk_faults():
                for ready in self._prepared(cut(self._counted(pieces, wanted.max_bytes), wanted.media_type), wanted):
                    self._take(ready)
                digest = self._sha256.hexdigest()
                if wanted.expected_digest is not None and digest != check_digest(wanted.expected_digest):
                    raise DigestMismatch(
                        f"the bytes hash to {digest}, not to {wanted.expected_digest}; send them again"
                    )
                if not self._is_here(digest):
                    self._finish(digest, wanted)
        finally:
            if self._on_its_way is not None:
                wait([self._on_its_way])
            for pack in [*self._packs, *([self._open] if self._open else [])]:
                pack.abandon(self._backend)
        return digest, self._size

    def _counted(self, pieces: Iterable[bytes], max_bytes: int | None) -> Iterator[bytes]:
        for piece in pieces:
            self._size += len(piece)
            if max_bytes is not None and self._size > max_bytes:
                raise TooLarge(f"more than {max_bytes} bytes; nothing was kept")
            self._sha256.update(piece)
            self._blake3.update(piece)
            yield piece

    def _prepared(self, cuts: Iterable[tuple[Cut, bytes]], wanted: Wanted) -> Iterator[_Ready]:
        leanable = self._leanable(wanted.like)
        waiting: deque[Future[list[_Ready]]] = deque()
        try:
            for batch in _batches(cuts):
                waiting.append(self._threads.submit(self._prepare, batch, leanable))
                if len(waiting) > _AHEAD:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def _prepare(self, batch: list[tuple[Cut, bytes]], leanable: dict[str, Found]) -> list[_Ready]:
        hashes = [blake3(content).digest() for _, content in batch]
        found = self._look_up(hashes)
        ready = []
        for (piece, content), name in zip(batch, hashes, strict=True):
            if name in found:
                ready.append(_Ready(piece, name, found[name]))
                continue
            if not self._level:
                ready.append(_Ready(piece, name, None, Encoded("raw", content)))
                continue
            near = leanable.get(piece.key) if piece.key else None
            encoded = encode(content, width=piece.width, reference=self._reference(near, piece.size), level=self._level)
            ready.append(_Ready(piece, name, None, encoded, near if CODECS[encoded.codec].against else None))
        return ready

    def _reference(self, near: Found | None, size: int) -> bytes | memoryview | None:
        """Return what a piece may be a difference to; it can do without one that is destroyed or damaged."""
        if near is None or near.size != size:
            return None
        try:
            return self._reader.content(self._tenant_id, near)
        except (NotFound, IntegrityError) as error:
            log.warning("a near copy is kept without its base", segment=near.hash.hex(), reason=str(error))
            return None

    def _look_up(self, hashes: list[bytes]) -> dict[bytes, Found]:
        with self._database.session(self._tenant_id, read_only=True) as session:
            found = {one.hash: one for one in find_segments(session, Segment.hash.in_(hashes))}
            stale = sa.select(Segment.number).where(Segment.hash.in_(hashes), Segment.touched_at < now() - _FRESH)
            old = session.scalars(stale).all()
        if old:
            self._touch(Segment, Segment.number.in_(old))
        return found

    def _touch(self, table: type[Segment] | type[BlobRow], which: sa.ColumnElement[bool]) -> int:
        with self._database.session(self._tenant_id) as session:
            touched = session.execute(sa.update(table).where(which).values(touched_at=now()))
        return int(touched.rowcount)  # type: ignore[attr-defined]

    def _leanable(self, like: str | None) -> dict[str, Found]:
        """Return what the pieces of the file may lean on, by key: never a delta, so that a chain is one step long."""
        if like is None:
            return {}
        with self._database.session(self._tenant_id, read_only=True) as session:
            blob_id = session.scalar(sa.select(BlobRow.id).where(BlobRow.digest == check_digest(like)))
        if blob_id is None:
            return {}
        places = pieces_of(self._database, self._tenant_id, blob_id)
        return {place.key: place.segment.root for place in places if place.key}

    def _take(self, ready: _Ready) -> None:
        self._pieces.append((ready.hash, ready.cut.size, ready.cut.key))
        if ready.encoded is None or ready.hash in self._taken:
            return
        self._taken.add(ready.hash)
        if self._open is None:
            self._open = PackWriter(self._tenant_id, self._staging, self._keyring)
        reference = ready.reference.hash if ready.reference else None
        self._open.add(ready.hash, ready.cut.size, ready.encoded.codec, ready.encoded.data, reference)
        if self._open.size_bytes >= PACK_BYTES:
            self._place([])

    def _place(self, files: list[dict[str, Any]]) -> None:
        """Have the open pack made durable while the next one is filled; the one before it is, when this returns."""
        pack = self._open or PackWriter(self._tenant_id, self._staging, self._keyring)
        self._open = None
        self._packs.append(pack)
        self._settle()
        self._on_its_way = self._placing.submit(pack.place, self._backend, files)

    def _settle(self) -> None:
        if self._on_its_way is not None:
            self._on_its_way.result()

    def _is_here(self, digest: str) -> bool:
        return self._touch(BlobRow, BlobRow.digest == digest) > 0

    def _finish(self, digest: str, wanted: Wanted) -> None:
        manifest = {
            "schema": 1,
            "digests": {"sha256": digest, "blake3": self._blake3.hexdigest()},
            "size_bytes": self._size,
            "media_type": wanted.media_type,
            "pieces": [[name.hex(), size, key] for name, size, key in self._pieces],
        }
        self._place([manifest])
        self._settle()
        for attempt in range(5):
            try:
                with self._database.session(self._tenant_id) as session:
                    for _, admit in ADMISSIONS:
                        admit(session, sum(pack.size_bytes for pack in self._packs), wanted.reservation)
                    for pack in self._packs:
                        files = [manifest] if pack is self._packs[-1] else []
                        publish(session, self._keyring, pack.facts(), files)
                    self._packs = []  # whether the commit succeeds, only the rows can tell: collection asks them
                return
            except Conflict:  # another upload wrote an equal segment at the same moment; its row counts
                if attempt == 4 or not self._packs:
                    raise


def _batches(cuts: Iterable[tuple[Cut, bytes]]) -> Iterator[list[tuple[Cut, bytes]]]:
    batch: list[tuple[Cut, bytes]] = []
    size = 0
    for item in cuts:
        batch.append(item)
        size += item[0].size
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_SEGMENTS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
