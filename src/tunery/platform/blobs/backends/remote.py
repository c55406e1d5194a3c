"""S3, Google Cloud Storage, Azure and memory, through obstore, which retries with backoff and jitter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery.errors import NotFound, Unavailable
from tunery.platform.blobs.backends.port import Entry

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["RemoteBackend"]


class RemoteBackend:
    """Objects in a bucket.

    Args:
        store: An obstore store.
        url: Where it is, for people.
        prefix: What every name begins with, without a slash at its end.
        attributes: Of every object written, such as ``{"Storage-Class": "STANDARD_IA"}``.
    """

    def __init__(
        self, store: ObjectStore, url: str, prefix: str = "", attributes: dict[str, str] | None = None
    ) -> None:
        self._store = store
        self._prefix = f"{prefix}/" if prefix else ""
        self._attributes: Any = attributes or None
        self.url = url

    def place(self, name: str, staged: Path) -> None:
        """Upload a staged file (in parts where it is large) and check that all of it arrived."""
        import obstore

        size = staged.stat().st_size
        with self._asked(name):
            obstore.put(self._store, self._prefix + name, staged, attributes=self._attributes)
            arrived = obstore.head(self._store, self._prefix + name)["size"]
        if arrived != size:
            raise Unavailable(f"{arrived} of {size} bytes arrived at {self.url}; nothing of this was kept, try again")
        staged.unlink()

    def put(self, name: str, data: bytes) -> None:
        """Write a small object."""
        import obstore

        with self._asked(name):
            obstore.put(self._store, self._prefix + name, data, attributes=self._attributes)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Read a range."""
        import obstore

        with self._asked(name):
            if length == 0:
                return b""
            if length is None and start == 0:
                return bytes(obstore.get(self._store, self._prefix + name).bytes())
            wanted = obstore.head(self._store, self._prefix + name)["size"] - start if length is None else length
            found = bytes(obstore.get_range(self._store, self._prefix + name, start=start, length=wanted))
        if len(found) != wanted:
            raise NotFound(f"{name} ends before byte {start + wanted}; it was cut off")
        return found

    def delete(self, name: str) -> None:
        """Delete an object."""
        import obstore

        try:
            with self._asked(name):
                obstore.delete(self._store, self._prefix + name)
        except NotFound:
            return

    def entries(self, prefix: str) -> Iterator[Entry]:
        """List the objects below a prefix."""
        import obstore

        with self._asked(prefix):
            for page in obstore.list(self._store, f"{self._prefix}{prefix}"):
                for item in page:
                    name = item["path"].removeprefix(self._prefix)
                    yield Entry(name, item["size"], item["last_modified"])

    @contextmanager
    def _asked(self, name: str) -> Iterator[None]:
        from obstore.exceptions import BaseError, NotFoundError

        try:
            yield
        except (NotFoundError, FileNotFoundError) as error:
            raise NotFound(f"{name} is not in the store") from error
        except (BaseError, OSError) as error:
            raise Unavailable(
                f"{self.url} failed: {_first_line(error)}; nothing of this was kept, try again"
            ) from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
