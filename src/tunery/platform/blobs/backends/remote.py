"""S3, Google Cloud Storage, Azure and memory, through obstore, which retries with backoff and jitter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery.errors import NotFound, Unavailable
from tunery.platform.blobs.backends.port import Entry, checked_name

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["RemoteBackend"]

_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 4
"""Few, so that on a slow line each part still arrives within the time of one request."""


_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")


class RemoteBackend:
    """Objects in a bucket.

    Args:
        store: An obstore store.
        url: Where it is, for people.
        attributes: Of every object written, such as ``{"Storage-Class": "STANDARD_IA"}``.
    """

    def __init__(self, store: ObjectStore, url: str, attributes: Mapping[str, str] | None = None) -> None:
        self._store = store
        self._attributes: Any = dict(attributes or {}) or None
        self.url = url

    def place(self, name: str, staged: Path) -> None:
        """Upload a staged file (in parts where it is large) and check that all of it arrived."""
        import obstore

        path, size = checked_name(name), staged.stat().st_size
        with self._asked(name):
            obstore.put(
                self._store, path, staged,
                attributes=self._attributes, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE,
            )  # fmt: skip
            arrived = obstore.head(self._store, path)["size"]
        if arrived != size:
            raise Unavailable(f"{arrived} of {size} bytes arrived at {self.url}; nothing of this was kept, try again")
        staged.unlink()

    def put(self, name: str, data: bytes) -> None:
        """Write a small object."""
        import obstore

        with self._asked(name):
            obstore.put(self._store, checked_name(name), data, attributes=self._attributes)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Read a range."""
        import obstore

        path = checked_name(name)
        with self._asked(name):
            if length is None and start == 0:
                return bytes(obstore.get(self._store, path).bytes())
            if not length:
                size = obstore.head(self._store, path)["size"]
                length = max(0, size - start) if length is None else 0
            if length == 0:
                return b""
            try:
                found = bytes(obstore.get_range(self._store, path, start=start, length=length))
            except obstore.exceptions.BaseError:
                # A range past the end is refused in as many ways as there are servers, so ask how long it is.
                if obstore.head(self._store, path)["size"] < start + length:
                    found = b""
                else:
                    raise
            if len(found) < length and obstore.head(self._store, path)["size"] >= start + length:
                raise Unavailable(f"{self.url} sent {len(found)} of {length} bytes of {name}; try again")
        if len(found) < length:
            raise NotFound(f"{name} ends before byte {start + length}; it was cut off")
        return found

    def delete(self, name: str) -> None:
        """Delete an object."""
        import obstore

        try:
            with self._asked(name):
                obstore.delete(self._store, checked_name(name))
        except NotFound:
            return

    def entries(self, prefix: str) -> Iterator[Entry]:
        """List the objects below a prefix."""
        import obstore

        with self._asked(prefix):
            for page in obstore.list(self._store, checked_name(prefix)):
                for item in page:
                    yield Entry(item["path"], item["size"], item["last_modified"])

    @contextmanager
    def _asked(self, name: str) -> Iterator[None]:
        from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError

        try:
            yield
        except (NotFoundError, FileNotFoundError) as error:
            if any(code in str(error) for code in _NO_BUCKET):
                raise Unavailable(f"{self.url} is not there; make the bucket, or correct its name") from error
            raise NotFound(f"{name} is not in the store") from error
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise Unavailable(
                f"{self.url} refuses us: {_first_line(error)}; nothing of this was kept, check the credentials"
            ) from error
        except (BaseError, OSError) as error:
            raise Unavailable(
                f"{self.url} failed: {_first_line(error)}; nothing of this was kept, try again"
            ) from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
