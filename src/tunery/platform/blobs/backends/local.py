"""A folder of this machine. Written by hand, for obstore's local store does not fsync what it acknowledges."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tunery.errors import IntegrityError, NotFound, Unavailable
from tunery.kit.durable import sync_folder
from tunery.kit.ids import new_id
from tunery.platform.blobs.backends.disk import disk_faults, is_broken
from tunery.platform.blobs.backends.port import Entry, checked_name

__all__ = ["LocalBackend"]

_LOST = {errno.EIO, errno.ELOOP, errno.EACCES, errno.ENXIO, errno.EISDIR}
"""What the system says of one file that cannot be read: a bad sector, a link, not ours, no file at all."""


class LocalBackend:
    """Objects as read-only files below a root folder: staged, fsynced, renamed, the folders fsynced.

    After a failed write or fsync nothing more is written or deleted until the process starts again: what the disk holds
    is unknown until somebody has looked, and a second fsync may say that all is well when the pages are lost.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._broken = ""
        self._made_here: set[Path] = set()
        self.url = root.as_uri()

    def place(self, name: str, staged: Path) -> None:
        """Move a staged file to its name; copied first where it lies on another disk."""
        with self._durably():
            target = self._made(name)
            near, far = staged, staged.stat().st_dev != target.parent.stat().st_dev
            try:
                if far:
                    near = target.with_name(f".{new_id()}")
                    shutil.copyfile(staged, near)
                self._sync(near)
                near.chmod(0o440)
                os.replace(near, target)
            finally:
                if far:
                    near.unlink(missing_ok=True)
            sync_folder(target.parent)
            staged.unlink(missing_ok=True)

    def put(self, name: str, data: bytes) -> None:
        """Write a small file beside its name and rename it."""
        self._put(name, data, os.replace)

    def put_new(self, name: str, data: bytes) -> bool:
        """Write a small file beside its name and link it there."""
        try:
            self._put(name, data, os.link)
        except FileExistsError:
            with self._durably():
                sync_folder(self._path(name).parent)  # who wrote it may not have come to that yet
            return False
        return True

    def _put(self, name: str, data: bytes, name_it: Callable[[Path, Path], None]) -> None:
        with self._durably():
            target = self._made(name)
            staged = target.with_name(f".{new_id()}")
            try:
                with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                name_it(staged, target)
            finally:
                staged.unlink(missing_ok=True)
            sync_folder(target.parent)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Read a range of a file."""
        with disk_faults():
            try:
                found, wanted = self._pieces(name, start, length)
            except OSError as error:
                if error.errno not in _LOST:
                    raise
                _look_into(self._path(name).parent)
                raise IntegrityError(f"{name} cannot be read ({error.strerror}); put a good copy there") from error
        if len(found) != max(0, wanted):
            raise NotFound(f"{name} ends before byte {start + wanted}; it was cut off")
        return bytes(found)

    def _pieces(self, name: str, start: int, length: int | None) -> tuple[bytes | bytearray, int]:
        try:
            descriptor = os.open(self._path(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError as error:
            raise NotFound(f"{name} is not in the store") from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EISDIR, "it is no file")
            wanted = status.st_size - start if length is None else length
            found = bytearray()
            while len(found) < wanted and (piece := os.pread(descriptor, wanted - len(found), start + len(found))):
                if len(piece) == wanted:
                    return piece, wanted
                found += piece
        finally:
            os.close(descriptor)
        return found, wanted

    def delete(self, name: str) -> None:
        """Unlink a file, durably."""
        with self._durably():
            path = self._path(name)
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                sync_folder(path.parent)

    def entries(self, prefix: str | None) -> Iterator[Entry]:
        """Walk a folder; files that are still being written are not seen."""
        return (entry for entry in self._walk(prefix) if not _is_unfinished(entry))

    def sweep(self, prefix: str, before: datetime) -> None:
        """Delete files that were being written and never got their name."""
        for entry in self._walk(prefix):
            if _is_unfinished(entry) and entry.modified_at < before:
                self.delete(entry.name)

    def _walk(self, prefix: str | None) -> Iterator[Entry]:
        for path in self._files(self._root if prefix is None else self._path(prefix)):
            with disk_faults():
                try:
                    status = path.lstat()
                except FileNotFoundError:
                    continue
            modified = datetime.fromtimestamp(status.st_mtime, UTC)
            yield Entry(path.relative_to(self._root).as_posix(), status.st_size, modified)

    def _files(self, below: Path) -> Iterator[Path]:
        with disk_faults():
            for folder, _, files in os.walk(below, onerror=_unless_missing):
                yield from (Path(folder, file) for file in files)

    def _path(self, name: str) -> Path:
        return self._root / checked_name(name)

    def _made(self, name: str) -> Path:
        path = self._path(name)
        for folder in reversed([f for f in path.parents if f == self._root or self._root in f.parents]):
            # A folder that stands may have been made a moment ago by somebody who has not yet made it durable.
            if folder not in self._made_here or not folder.is_dir():
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                sync_folder(folder.parent)
                self._made_here.add(folder)
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
        with disk_faults():
            try:
                yield
            except OSError as error:
                if is_broken(error):
                    self._broken = str(error)
                raise


def _unless_missing(error: OSError) -> None:
    """A folder that cannot be listed is not an empty one: who took it for that would delete what is in use."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _look_into(folder: Path) -> None:
    """Raise OSError where not one file alone cannot be read, but the folder it lies in."""
    with os.scandir(folder) as entries:
        next(entries, None)


def _is_unfinished(entry: Entry) -> bool:
    return entry.name.rpartition("/")[2].startswith(".")
