"""Parts of uploads as files of this machine: checked while they come, durable before they are acknowledged."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from tunery.errors import DigestMismatch, MalformedRequest, NotFound, TooLarge
from tunery.kit.durable import sync_folder
from tunery.platform.blobs.backends.disk import disk_faults
from tunery.settings import Settings

__all__ = ["drop_folder", "pieces_of_parts", "upload_folder", "uploads_folder", "write_part"]

_PIECE = 1 << 20


def uploads_folder(settings: Settings) -> Path:
    """Return the folder of all uploads; below it one folder a tenant, below that one an upload."""
    return settings.folder("uploads")


def upload_folder(settings: Settings, tenant_id: str, upload_id: str) -> Path:
    """Return where the parts of an upload lie; the folder may not be there."""
    return uploads_folder(settings) / tenant_id / upload_id


def write_part(path: Path, pieces: Iterable[bytes], size_bytes: int, digest: str) -> None:
    """Write a part; when this returns, it is on the disk. On an error nothing of it is left.

    Args:
        path: A new file in the upload's folder.
        pieces: Its bytes as they come.
        size_bytes: The length it must have.
        digest: The SHA-256 it must have.

    Raises:
        TooLarge: More bytes came. MalformedRequest: fewer came. DigestMismatch: other bytes came.
        Exhausted: the disk is full. NotFound: the upload was given up meanwhile.
    """
    try:
        with disk_faults():
            with path.open("xb") as file:
                _write_checked(file.fileno(), pieces, size_bytes, digest)
                os.fsync(file.fileno())
            sync_folder(path.parent)
    except FileNotFoundError as gone:
        raise NotFound("the upload was given up meanwhile; begin it anew") from gone
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def pieces_of_parts(paths: Iterable[Path]) -> Iterator[bytes]:
    """Yield the bytes of staged parts, one after another. Raises: FileNotFoundError: one of them is gone."""
    for path in paths:
        with path.open("rb") as file:
            yield from iter(lambda file=file: file.read(_PIECE), b"")  # type: ignore[misc]


def drop_folder(folder: Path) -> None:
    """Give back what an upload staged; repeating it is harmless."""
    shutil.rmtree(folder, ignore_errors=True)


def _write_checked(descriptor: int, pieces: Iterable[bytes], size_bytes: int, digest: str) -> None:
    hasher, written = hashlib.sha256(), 0
    for piece in pieces:
        written += len(piece)
        if written > size_bytes:
            raise TooLarge(f"this part has {size_bytes} bytes and more came; nothing of it was kept")
        hasher.update(piece)
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    if written < size_bytes:
        raise MalformedRequest(f"this part has {size_bytes} bytes and {written} came; send it again")
    if hasher.hexdigest() != digest:
        raise DigestMismatch(f"the part hashes to {hasher.hexdigest()}, not to {digest}; send it again")
