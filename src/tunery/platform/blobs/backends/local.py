"""A folder of this machine. Written by hand, for obstore's local store does not fsync what it acknowledges."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tunery.errors import Exhausted, InternalError, NotFound, Unavailable
from tunery.kit.ids import new_id
from tunery.platform.blobs.backends.port import Entry

__all__ = ["LocalBackend", "sync_folder"]


class LocalBackend:
    """Objects as read-only files below a root folder: staged, fsynced, renamed, the folders fsynced.

    After a failed fsync nothing more is written: what the disk still holds is unknown until somebody has looked.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._broken = ""
        self.url = root.as_uri()

    def place(self, name: str, staged: Path) -> None:
        """Move a staged file to its name; copied first where it lies on another disk."""
        with self._durably():
            target = self._made(name)
            if staged.stat().st_dev != target.parent.stat().st_dev:
                copied = target.with_name(f".{new_id()}")
                shutil.copyfile(staged, copied)
                staged.unlink()
                staged = copied
            self._sync(staged)
            staged.chmod(0o440)
            os.replace(staged, target)
            sync_folder(target.parent)

    def put(self, name: str, data: bytes) -> None:
        """Write a small file beside its name and rename it."""
        with self._durably():
            target = self._made(name)
            staged = target.with_name(f".{new_id()}")
            try:
                with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(staged, target)
            finally:
                staged.unlink(missing_ok=True)
            sync_folder(target.parent)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Read a range of a file."""
        try:
            descriptor = os.open(self._path(name), os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError as error:
            raise NotFound(f"{name} is not in the store") from error
        try:
            wanted = os.fstat(descriptor).st_size - start if length is None else length
            found = bytearray()
            while len(found) < wanted and (piece := os.pread(descriptor, wanted - len(found), start + len(found))):
                if len(piece) == wanted:
                    return piece
                found += piece
        finally:
            os.close(descriptor)
        if len(found) != max(0, wanted):
            raise NotFound(f"{name} ends before byte {start + wanted}; it was cut off")
        return bytes(found)

    def delete(self, name: str) -> None:
        """Unlink a file, durably."""
        path = self._path(name)
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            sync_folder(path.parent)

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Walk a folder; files that are still being written are not seen."""
        for folder, _, files in os.walk(self._path(prefix)):
            for file in files:
                path = Path(folder, file)
                if file.startswith("."):
                    continue
                try:
                    stat = path.stat()
                except FileNotFoundError:
                    continue
                modified = datetime.fromtimestamp(stat.st_mtime, UTC)
                yield Entry(path.relative_to(self._root).as_posix(), stat.st_size, modified)

    def _path(self, name: str) -> Path:
        if any(part in ("", ".", "..") for part in name.split("/")):
            raise InternalError(f"{name!r} is no name of an object")
        return self._root / name

    def _made(self, name: str) -> Path:
        path = self._path(name)
        for folder in reversed([f for f in path.parents if f == self._root or self._root in f.parents]):
            if not folder.is_dir():
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                sync_folder(folder.parent)
        return path

    def _sync(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def _durably(self) -> Iterator[None]:
        if self._broken:
            raise Unavailable(f"the store is read-only since the disk failed: {self._broken}; check it, then restart")
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE):
                raise Exhausted(f"no room in the store ({error.strerror}); nothing of this was kept") from error
            if error.errno == errno.EIO:
                self._broken = str(error)
                raise Unavailable("the disk failed to keep what was written; nothing of this was kept") from error
            raise


def sync_folder(path: Path) -> None:
    """Make renames inside a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
