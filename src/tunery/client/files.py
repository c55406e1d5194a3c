"""Files: bytes in the store, by digest."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import IO, Self

from tunery.api.schemas import FileView
from tunery.client.nouns import Noun, view
from tunery.client.sending import Watch, send_in_parts
from tunery.client.transport import path_of
from tunery.client.uploads import Uploads
from tunery.errors import InvalidInput, NotFound
from tunery.kit.digests import check_digest, sha256_file
from tunery.kit.media_types import media_type_of
from tunery.storage.schemas import UploadCreate

__all__ = ["Files", "Watch"]


class Files(Noun):
    """Uploaded bytes. Equal bytes are sent and kept once."""

    parts_from_bytes = 64 << 20
    """Files longer than this are sent in parts."""
    part_bytes: int | None = None
    """Length of a part; none leaves it to the server."""

    def upload(self, path: Path | str, watch: Watch | None = None, *, like: str | None = None) -> FileView:
        """Upload a file, unless the store has its bytes already; what broke off is gone on with, also by a later call.

        Args:
            path: The file. One that is named as a model file and is none is refused.
            watch: Told of the progress.
            like: Digest of a stored file that it may be a near copy of.

        Raises:
            InvalidInput: It is no readable file, or it changed while it was sent. FormatInvalid: its header lies.
            Exhausted: the disk there is full, or the quota does not hold it.
        """
        path = Path(path)
        if not path.is_file():
            raise InvalidInput(f"{path} is no file")
        digest = sha256_file(path)
        with suppress(NotFound):
            return self.get(digest)
        size, media_type = path.stat().st_size, media_type_of(path.name)
        if size > self.parts_from_bytes:
            wish = UploadCreate(
                digest=digest, size_bytes=size, media_type=media_type, like=like, part_bytes=self.part_bytes
            )
            send_in_parts(Uploads(self._transport), path, wish, watch, self._transport.pause)
            return FileView(digest=digest, size_bytes=size)
        headers = {"X-Digest": digest, "Content-Type": media_type, **({"X-Like": like} if like else {})}
        data, _ = self._transport.call("PUT", path_of("files"), upload=lambda: _Watched(path, watch), headers=headers)
        return view(FileView, data)

    def get(self, digest: str) -> FileView:
        """Tell the size of a stored file. Raises: NotFound: its bytes were never uploaded here."""
        return view(FileView, self._get(path_of("files", check_digest(digest))))


class _Watched:
    """A file that tells how much of it was read."""

    def __init__(self, path: Path, watch: Watch | None) -> None:
        self._file: IO[bytes] = path.open("rb")
        self.size_bytes = path.stat().st_size
        self._done = 0
        self._watch = watch

    def read(self, size: int = -1, /) -> bytes:
        piece = self._file.read(size)
        self._done += len(piece)
        if self._watch is not None:
            self._watch(self._done, self.size_bytes)
        return piece

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
