"""Bytes by their digest: staged, hashed, fsynced, renamed; visible only once a committed row names them.

    <home>/blobs/<tenant id>/<first two digits>/<sha256>     immutable, mode 0440
    <home>/blobs/<tenant id>/staging/<random>                invisible, taken away by ``sweep`` after a day

On a crash the staged file is left over and nothing else; nothing is shared across tenants.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tunery.errors import DigestMismatch, Exhausted, IntegrityError, NotFound, TooLarge
from tunery.kit.digests import check_digest, sha256_file
from tunery.kit.ids import new_id

__all__ = ["Blob", "BlobStore", "sync_folder"]

_PIECE = 1 << 20


@dataclass(frozen=True)
class Blob:
    """What the store knows of some bytes: their SHA-256, their length and what they are."""

    digest: str
    size_bytes: int
    media_type: str = "application/octet-stream"


class BlobStore:
    """Immutable bytes by SHA-256, apart for each tenant."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(
        self,
        tenant_id: str,
        stream: Iterable[bytes] | BinaryIO | Path | bytes,
        media_type: str = "application/octet-stream",
        like: str | None = None,
        *,
        expected_digest: str | None = None,
        max_bytes: int | None = None,
    ) -> Blob:
        """Keep bytes and return their digest; equal bytes are kept once.

        Args:
            tenant_id: Whose bytes these are.
            stream: A path, bytes, an open binary file, or pieces.
            media_type: What the bytes are.
            like: Digest of the bytes they may be a near copy of (a base or a parent); a hint to the store.
            expected_digest: Refuse anything else than these bytes.
            max_bytes: Refuse more than this.

        Raises:
            DigestMismatch: The digest is not the expected one. TooLarge: more than ``max_bytes``. Exhausted: disk full.
            In each case nothing is kept.
        """
        staging = self._folder(tenant_id, "staging") / new_id()
        try:
            with staging.open("xb") as file:
                digest, size = _copy(_pieces(stream), file, max_bytes)
                file.flush()
                os.fsync(file.fileno())
            if expected_digest is not None and digest != check_digest(expected_digest):
                raise DigestMismatch(f"the bytes hash to {digest}, not to {expected_digest}; send them again")
            self._commit(tenant_id, staging, digest)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Exhausted("the disk that holds the blobs is full; nothing of this upload was kept") from error
            raise
        finally:
            staging.unlink(missing_ok=True)
        return Blob(digest, size, media_type)

    def open(self, tenant_id: str, digest: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of a blob, or of a range of it. A whole read is verified: it ends in an error, not in lies.

        Raises:
            NotFound: This tenant has no such blob. IntegrityError: the stored bytes do not match the digest.
        """
        path = self._existing(tenant_id, digest)
        size = path.stat().st_size
        whole = start == 0 and (length is None or length >= size)
        return self._read(path, digest if whole else None, start, size - start if length is None else length)

    def read(self, tenant_id: str, digest: str) -> bytes:
        """Return all bytes of a (small) blob, verified."""
        return b"".join(self.open(tenant_id, digest))

    def size(self, tenant_id: str, digest: str) -> int:
        """Return the length in bytes. Raises: NotFound."""
        return self._existing(tenant_id, digest).stat().st_size

    def exists(self, tenant_id: str, digest: str) -> bool:
        """Tell whether this tenant has the blob."""
        return self._path(tenant_id, digest).is_file()

    def checkout(self, tenant_id: str, digest: str, target: Path) -> None:
        """Place a blob at a path, as a read-only link where the disk allows it, verified byte by byte every time.

        Raises:
            IntegrityError: The stored bytes are damaged; nothing stands at the target then.
        """
        source = self._existing(tenant_id, digest)
        if sha256_file(source) != digest:
            target.unlink(missing_ok=True)
            raise IntegrityError(f"blob {digest} is damaged in the store; it was not used. Restore it from a good copy")
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and target.samefile(source):
            return
        staging = target.with_name(f".{target.name}.{new_id()}")
        try:
            os.link(source, staging)
        except OSError:
            with staging.open("xb") as file:
                _copy(self._read(source, digest, 0, source.stat().st_size), file, None)
        os.replace(staging, target)

    def sweep(self, older_than_seconds: float = 86_400) -> int:
        """Delete staged files that a crash left behind; return how many."""
        count = 0
        for path in self._root.glob("*/staging/*"):
            if time.time() - path.stat().st_mtime > older_than_seconds:
                path.unlink(missing_ok=True)
                count += 1
        return count

    def _commit(self, tenant_id: str, staging: Path, digest: str) -> None:
        final = self._path(tenant_id, digest)
        if final.exists():
            if sha256_file(final) == digest:
                return
            os.replace(final, final.with_name(f"{digest}.damaged-{new_id()}"))
        folder_is_new = not final.parent.exists()
        final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        staging.chmod(0o440)
        os.replace(staging, final)
        sync_folder(final.parent)
        if folder_is_new:
            sync_folder(final.parent.parent)

    @staticmethod
    def _read(path: Path, digest: str | None, start: int, length: int) -> Iterator[bytes]:
        hasher = hashlib.sha256()
        with _open_regular(path) as file:
            file.seek(start)
            while length > 0 and (piece := file.read(min(_PIECE, length))):
                length -= len(piece)
                hasher.update(piece)
                if length <= 0 and digest is not None and hasher.hexdigest() != digest:
                    raise IntegrityError(f"blob {digest} is damaged in the store; restore it from a good copy")
                yield piece
        if length > 0 and digest is not None:
            raise IntegrityError(f"blob {digest} is shorter than it was; restore it from a good copy")

    def _existing(self, tenant_id: str, digest: str) -> Path:
        path = self._path(tenant_id, digest)
        if not path.is_file() or path.is_symlink():
            raise NotFound(f"there are no bytes with the digest {digest} here")
        return path

    def _path(self, tenant_id: str, digest: str) -> Path:
        return self._root / tenant_id / check_digest(digest)[:2] / digest

    def _folder(self, tenant_id: str, name: str) -> Path:
        path = self._root / tenant_id / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path


def sync_folder(path: Path) -> None:
    """Make renames inside a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_regular(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb")


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


def _copy(pieces: Iterable[bytes], file: BinaryIO, max_bytes: int | None) -> tuple[str, int]:
    hasher, size = hashlib.sha256(), 0
    for piece in pieces:
        size += len(piece)
        if max_bytes is not None and size > max_bytes:
            raise TooLarge(f"more than {max_bytes} bytes; nothing was kept")
        hasher.update(piece)
        file.write(piece)
    return hasher.hexdigest(), size
