"""Packs: immutable objects of sealed segments, and what is needed to write their rows again.

    magic (8) | schema (2) | tenant id (16) | pack id (16)        plain
    sealed record, sealed record, ...                             ordinals 0, 1, 2, ...
    sealed footer: deflated JSON {segments, files}                an ordinal of its own
    offset of the footer (8) | magic (8)                          plain

A pack is finished in a staging folder, placed as a whole and never changed. The footer's ``segments`` list what lies in
the pack; its ``files`` are the manifests of the files that became complete with it.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from blake3 import blake3

from tunery.errors import Exhausted, IntegrityError, SchemaNewer, Unavailable
from tunery.kit.ids import new_id
from tunery.platform.blobs.backends import Backend
from tunery.platform.blobs.keyring import Keyring
from tunery.platform.blobs.sealing import OVERHEAD, Seal

__all__ = ["SCHEMA", "Footer", "PackFacts", "PackLength", "PackWriter", "Placed", "pack_name", "read_footer"]

log = structlog.get_logger(__name__)

SCHEMA = 1
_MAGIC = b"tunery\x00P"
_HEAD = struct.Struct(">8sH16s16s")
_TAIL = struct.Struct(">Q8s")
_FOOTER = b"footer"
_FOOTER_ORDINAL = 2**64 - 1


@dataclass(frozen=True)
class Placed:
    """A segment that lies in a pack.

    Attributes:
        hash: BLAKE3 of the plain content, 32 bytes.
        size: Length of the plain content, in bytes.
        reference: Hash of the segment that a delta leans on.
        offset: Where the sealed record begins in the pack; ``stored_size`` bytes with its tag.
    """

    hash: bytes
    size: int
    codec: str
    reference: bytes | None
    ordinal: int
    offset: int
    stored_size: int


@dataclass(frozen=True)
class Footer:
    """What a pack says of itself: its segments, and the manifests of the files completed with it."""

    segments: list[Placed]
    files: list[dict[str, Any]]


@dataclass(frozen=True)
class PackFacts:
    """A placed pack as the index lists it.

    Attributes:
        checksum: BLAKE3 of all its bytes, hex.
        content_bytes: Sealed bytes of all its segments.
        files: How many manifests it ends with.
        segments: Those to list.
    """

    pack_id: str
    size_bytes: int
    checksum: str
    content_bytes: int
    files: int
    segments: list[Placed]


@dataclass
class PackWriter:
    """Writes one pack into a staging file; it has a durable key from the start."""

    tenant_id: str
    staging: Path
    keyring: Keyring
    pack_id: str = field(default_factory=new_id)
    segments: list[Placed] = field(default_factory=list)
    size_bytes: int = 0
    checksum: str = ""
    files: int = 0

    def __post_init__(self) -> None:
        self._hasher = blake3()
        self._path = self.staging / self.pack_id
        self._file = self._path.open("xb")
        try:
            self._seal = Seal(self.keyring.make(self.tenant_id, self.pack_id), self.tenant_id, self.pack_id)
        except BaseException:
            self._file.close()
            self._path.unlink()
            raise
        self._write(_HEAD.pack(_MAGIC, SCHEMA, UUID(self.tenant_id).bytes, UUID(self.pack_id).bytes))

    def add(self, name: bytes, size: int, codec: str, data: bytes | memoryview, reference: bytes | None) -> None:
        """Seal and append one encoded segment."""
        ordinal, offset = len(self.segments), self.size_bytes
        sealed = self._seal.close(ordinal, name, data)
        self._write(sealed)
        self.segments.append(Placed(name, size, codec, reference, ordinal, offset, len(sealed)))

    def place(self, backend: Backend, files: list[dict[str, Any]]) -> None:
        """Finish the pack with the manifests of files and make it durable in the backend."""
        offset = self.size_bytes
        self._write(self._seal.close(_FOOTER_ORDINAL, _FOOTER, _said(self.segments, files)))
        self._write(_TAIL.pack(offset, _MAGIC))
        self.files = len(files)
        self._file.close()
        self.checksum = self._hasher.hexdigest()
        backend.place(pack_name(self.tenant_id, self.pack_id), self._path)

    def facts(self) -> PackFacts:
        """What the index must know of a placed pack."""
        content_bytes = sum(placed.stored_size for placed in self.segments)
        return PackFacts(self.pack_id, self.size_bytes, self.checksum, content_bytes, self.files, self.segments)

    def abandon(self, backend: Backend) -> None:
        """Take away what there is of the pack, and its key; what cannot be reached now is left to collection."""
        self._path.unlink(missing_ok=True)
        for take_away in (
            self._file.close,  # writes what it holds back, and fails again where that was the fault
            lambda: backend.delete(pack_name(self.tenant_id, self.pack_id)),
            lambda: self.keyring.forget(self.tenant_id, self.pack_id),
        ):
            try:
                take_away()
            except (OSError, Exhausted, Unavailable) as error:
                log.warning("a pack that was given up is left to collection", pack=self.pack_id, reason=str(error))

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._hasher.update(data)
        self.size_bytes += len(data)


@dataclass
class PackLength:
    """Says to the byte how long a pack would be, and writes nothing; used like ``PackWriter``."""

    segments: list[Placed] = field(default_factory=list)
    size_bytes: int = _HEAD.size

    def add(self, name: bytes, size: int, codec: str, data: bytes | memoryview, reference: bytes | None) -> None:
        """Count one encoded segment."""
        stored_size = len(data) + OVERHEAD
        self.segments.append(Placed(name, size, codec, reference, len(self.segments), self.size_bytes, stored_size))
        self.size_bytes += stored_size

    def place(self, _: Backend, files: list[dict[str, Any]]) -> None:
        """Count the end of the pack."""
        self.size_bytes += len(_said(self.segments, files)) + OVERHEAD + _TAIL.size

    def abandon(self, _: Backend) -> None:
        """There is nothing to take away."""


def pack_name(tenant_id: str, pack_id: str) -> str:
    """Return the name of a pack's object."""
    return f"{tenant_id}/{pack_id}"


def read_footer(backend: Backend, keyring: Keyring, tenant_id: str, pack_id: str, size_bytes: int) -> Footer:
    """Read what a pack says of itself.

    Raises:
        NotFound: The pack or its key is gone. IntegrityError: it is damaged. SchemaNewer: a newer Tunery
        wrote it.
    """
    name = pack_name(tenant_id, pack_id)
    if size_bytes < _HEAD.size + _TAIL.size:
        raise IntegrityError(f"{name} has {size_bytes} bytes, less than any pack; restore it from a good copy")
    magic, schema, tenant, pack = _HEAD.unpack(backend.read(name, 0, _HEAD.size))
    offset, end = _TAIL.unpack(backend.read(name, size_bytes - _TAIL.size, _TAIL.size))
    if magic != _MAGIC or end != _MAGIC or (tenant, pack) != (UUID(tenant_id).bytes, UUID(pack_id).bytes):
        raise IntegrityError(f"{name} is damaged or another pack; restore it from a good copy")
    if schema > SCHEMA:
        raise SchemaNewer(f"{name} was written by a newer Tunery (schema {schema}, this one reads {SCHEMA})")
    if not _HEAD.size <= offset < size_bytes - _TAIL.size:
        raise IntegrityError(f"the end of {name} is damaged; restore it from a good copy")
    sealed = backend.read(name, offset, size_bytes - _TAIL.size - offset)
    seal = Seal(keyring.of(tenant_id, pack_id), tenant_id, pack_id)
    said = json.loads(zlib.decompress(seal.open(_FOOTER_ORDINAL, _FOOTER, sealed)))
    return Footer(list(_placed(said["segments"])), said["files"])


def _said(segments: list[Placed], files: list[dict[str, Any]]) -> bytes:
    """Return the footer, before it is sealed."""
    listed = [
        [s.hash.hex(), s.size, s.codec, s.reference.hex() if s.reference else None, s.offset, s.stored_size]
        for s in segments
    ]
    return zlib.compress(json.dumps({"segments": listed, "files": files}).encode())


def _placed(listed: list[Any]) -> Iterator[Placed]:
    for ordinal, (name, size, codec, reference, offset, stored_size) in enumerate(listed):
        leans_on = bytes.fromhex(reference) if reference else None
        yield Placed(bytes.fromhex(name), size, codec, leans_on, ordinal, offset, stored_size)
