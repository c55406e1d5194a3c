"""A file of the store as Python's file objects are: read at any place, only the segments touched are opened."""

from __future__ import annotations

import io

from tunery.platform.blobs import BlobStore

__all__ = ["StoredFile"]


class StoredFile(io.RawIOBase):
    """A file of the store, open for reading. Raises: NotFound: it is not there; IntegrityError: it is damaged."""

    def __init__(self, blobs: BlobStore, tenant_id: str, digest: str) -> None:
        self._file = blobs.look_up(tenant_id, digest)
        self._position = 0

    def read(self, size: int | None = -1) -> bytes:
        """Return the next ``size`` bytes, or all that follow."""
        left = self._file.size - self._position
        found = self._file.read(self._position, left if size is None or size < 0 else size)
        self._position += len(found)
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another place."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._position

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read at any place."""
        return True
