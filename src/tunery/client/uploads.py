"""Uploads in parts, deed by deed; ``client.files.upload`` does all of it."""

from __future__ import annotations

import io
from collections.abc import Callable

from tunery.client.nouns import Noun, Page, view
from tunery.client.transport import path_of
from tunery.kit.digests import sha256_bytes
from tunery.kit.media_types import BYTES
from tunery.storage.schemas import UploadCreate, UploadPartView, UploadView

__all__ = ["Uploads"]


class Uploads(Noun):
    """Files on their way in parts. Parts may come in any order and again; what is acknowledged outlives every crash."""

    def create(
        self,
        digest: str,
        size_bytes: int,
        *,
        media_type: str = BYTES,
        like: str | None = None,
        part_bytes: int | None = None,
    ) -> UploadView:
        """Begin a file, or go on with one's own open upload of it; the answer says which parts are there.

        Args:
            digest: SHA-256 of the whole file.
            size_bytes: Its length.
            media_type: What it is; bytes that break a model's type are refused.
            like: Digest of a stored file it may be a near copy of.
            part_bytes: Length of every part but the last; none leaves it to the server.

        Raises:
            Exhausted: The quota does not hold it. TooLarge: no upload may be so large.
        """
        wish = UploadCreate(
            digest=digest, size_bytes=size_bytes, media_type=media_type, like=like, part_bytes=part_bytes
        )
        return view(UploadView, self._send("POST", path_of("uploads"), wish))

    def list(self, *, limit: int = 50, offset: int = 0) -> Page[UploadView]:
        """List open uploads, the newest first; each holds its room in the quota."""
        return self._page(UploadView, path_of("uploads"), limit=limit, offset=offset)

    def get(self, upload_id: str) -> UploadView:
        """Show an upload: which parts arrived. Raises: NotFound: it was given up."""
        return view(UploadView, self._get(path_of("uploads", upload_id)))

    def part(
        self, upload_id: str, number: int, data: bytes, watch: Callable[[int], object] | None = None
    ) -> UploadPartView:
        """Send one part.

        Args:
            upload_id: The upload.
            number: Which part, counted from 1.
            data: Its bytes.
            watch: Told how many of them are on their way.

        Raises:
            DigestMismatch: It was damaged on the way; send it again. TooLarge, MalformedRequest: another length.
        """
        path = path_of("uploads", upload_id, "parts", str(number))
        headers = {"X-Digest": sha256_bytes(data)}
        answer, _ = self._transport.call("PUT", path, upload=lambda: _Watched(data, watch), headers=headers)
        return view(UploadPartView, answer)

    def complete(self, upload_id: str) -> UploadView:
        """Make the file of all parts visible; repeating it answers the same.

        Raises:
            InvalidInput: Parts are missing. DigestMismatch, FormatInvalid: they are not the file that was announced.
        """
        return view(UploadView, self._send("POST", path_of("uploads", upload_id, "complete")))

    def abort(self, upload_id: str) -> UploadView:
        """Give an open upload up; its room is free again."""
        return view(UploadView, self._send("DELETE", path_of("uploads", upload_id)))


class _Watched(io.BytesIO):
    """Bytes that tell how many of them were read."""

    def __init__(self, data: bytes, watch: Callable[[int], object] | None) -> None:
        super().__init__(data)
        self.size_bytes = len(data)
        self._watch = watch

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        if self._watch is not None:
            self._watch(self.tell())
        return piece
