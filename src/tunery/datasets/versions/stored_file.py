"""A file of the store as Python's file objects are: read at any place, only the segments touched are opened."""

from __future__ import annotations

import io

from tunery.platform.blobs import BlobStore

__all__ = ["StoredFile"]


class StoredFile(io.RawIOBase):
    """A file of the store, open for reading. Raises: NotFound: it is not there; IntegrityError: it is damaged."""

    def __init__(self, blobs: BlobStore, tenant_id: str, digest: str) -> None:
        self._blobs = blobs
        self._tenant_id = tenant_id
        self._digest = digest
        self._size = blobs.size(tenant_id, digest)
        self._position = 0

    def read(self, size: int | None = -1) -> bytes:
        """Return the next ``size`` bytes, or all that follow."""
        left = self._size - self._position
        wanted = left if size is None or size < 0 else min(size, left)
        found = b"".join(self._blobs.open(self._tenant_id, self._digest, self._position, wanted)) if wanted > 0 else b""
        self._position += len(found)
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another place."""
        self._position = max(0, {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence] + offset)
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
