"""Files: bytes in the store, by digest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

from tunery.api.schemas import FileView
from tunery.client.nouns import Noun, view
from tunery.client.transport import path_of
from tunery.errors import InvalidInput, NotFound
from tunery.kit.digests import check_digest, sha256_file

__all__ = ["Files", "Watch"]

Watch = Callable[[int, int], None]
"""Called with the bytes done so far and the bytes there are in all."""


class Files(Noun):
    """Uploaded bytes. Equal bytes are sent and kept once."""

    def upload(self, path: Path | str, watch: Watch | None = None) -> FileView:
        """Upload a file, unless the store has its bytes already.

        Raises:
            InvalidInput: It is no readable file, or it changed while it was sent. Exhausted: the disk there is full.
        """
        path = Path(path)
        if not path.is_file():
            raise InvalidInput(f"{path} is no file")
        digest = sha256_file(path)
        with suppress(NotFound):
            return self.get(digest)
        data, _ = self._transport.call(
            "PUT", path_of("files"), upload=lambda: _Watched(path, watch), headers={"X-Digest": digest}
        )
        return view(FileView, data)

    def get(self, digest: str) -> FileView:
        """Tell the size of a stored file. Raises: NotFound: its bytes were never uploaded here."""
        return view(FileView, self._get(path_of("files", check_digest(digest))))


class _Watched:
    """A file that tells how much of it was read; ``fileno`` lets httpx see its length."""

    def __init__(self, path: Path, watch: Watch | None) -> None:
        self._file: IO[bytes] = path.open("rb")
        self._size = path.stat().st_size
        self._done = 0
        self._watch = watch

    def read(self, size: int = -1, /) -> bytes:
        piece = self._file.read(size)
        self._done += len(piece)
        if self._watch is not None:
            self._watch(self._done, self._size)
        return piece

    def fileno(self) -> int:
        return self._file.fileno()

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(1 << 20), b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
