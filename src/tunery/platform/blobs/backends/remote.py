"""S3, Google Cloud Storage, Azure and memory, through obstore, which retries with backoff and jitter."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tunery.errors import NotFound, Unavailable
from tunery.platform.blobs.backends.port import Entry, checked_name

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["RemoteBackend"]

_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 4
"""Few, so that on a slow line each part still arrives within the time of one request."""
_TRIES = 3
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")

T = TypeVar("T")


class RemoteBackend:
    """Objects in a bucket.

    Args:
        store: An obstore store, which tries a failed request again; here the deed is tried again where obstore does not
            dare to (an answer cut off, no answer to a POST), for each of ours may be done twice.
        url: Where it is, for people.
        attributes: Of every object written, such as ``{"Storage-Class": "STANDARD_IA"}``.
        retry_seconds: After so long a failed deed is not tried again.
    """

    def __init__(
        self, store: ObjectStore, url: str, attributes: Mapping[str, str] | None = None, retry_seconds: float = 0
    ) -> None:
        self._store = store
        self._attributes: Any = dict(attributes or {}) or None
        self._retry_seconds = retry_seconds
        self.url = url

    def place(self, name: str, staged: Path) -> None:
        """Upload a staged file (in parts where it is large) and check that all of it arrived."""
        import obstore

        path, size = checked_name(name), staged.stat().st_size

        def upload() -> int:
            obstore.put(
                self._store, path, staged,
                attributes=self._attributes, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE,
            )  # fmt: skip
            return obstore.head(self._store, path)["size"]

        arrived = self._ask(name, upload)
        if arrived != size:
            raise Unavailable(f"{arrived} of {size} bytes arrived at {self.url}; nothing of this was kept, try again")
        staged.unlink()

    def put(self, name: str, data: bytes) -> None:
        """Write a small object."""
        import obstore

        path = checked_name(name)
        self._ask(name, lambda: obstore.put(self._store, path, data, attributes=self._attributes))

    def put_new(self, name: str, data: bytes) -> bool:
        """Write a small object on the condition that none is there."""
        import obstore

        path = checked_name(name)

        def create() -> bool:
            try:
                obstore.put(self._store, path, data, attributes=self._attributes, mode="create")
            except obstore.exceptions.AlreadyExistsError:
                return False
            return True

        return self._ask(name, create)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Read a range."""
        import obstore

        path = checked_name(name)
        if length is None and start == 0:
            return self._ask(name, lambda: bytes(obstore.get(self._store, path).bytes()))
        if not length:
            size = self._ask(name, lambda: obstore.head(self._store, path)["size"])
            length = max(0, size - start) if length is None else 0
        if length == 0:
            return b""
        found = self._ask(name, lambda: self._range(path, start, length))
        if len(found) < length:
            raise NotFound(f"{name} ends before byte {start + length}; it was cut off")
        return found

    def _range(self, path: str, start: int, length: int) -> bytes:
        """Return the bytes of a range, fewer where the object is that short."""
        import obstore

        try:
            found = bytes(obstore.get_range(self._store, path, start=start, length=length))
        except obstore.exceptions.GenericError:
            # A range past the end is refused in as many ways as there are servers, so ask how long it is.
            if obstore.head(self._store, path)["size"] >= start + length:
                raise
            return b""
        if len(found) < length <= obstore.head(self._store, path)["size"] - start:
            raise ConnectionError(f"{len(found)} of {length} bytes arrived")
        return found

    def delete(self, name: str) -> None:
        """Delete an object."""
        import obstore

        path = checked_name(name)
        with suppress(NotFound):
            self._ask(name, lambda: obstore.delete(self._store, path))

    def entries(self, prefix: str | None) -> Iterator[Entry]:
        """List the objects below a prefix."""
        import obstore

        path = None if prefix is None else checked_name(prefix)
        pages = self._ask(prefix or "", lambda: list(obstore.list(self._store, path)))
        for item in itertools.chain.from_iterable(pages):
            yield Entry(item["path"], item["size"], item["last_modified"])

    def sweep(self, prefix: str, before: datetime) -> None:
        """Do nothing: uploads that broke off are seen by nobody, and taken away by a rule of the bucket."""

    def _ask(self, name: str, deed: Callable[[], T]) -> T:
        from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError

        until = time.monotonic() + self._retry_seconds
        for left in reversed(range(_TRIES)):
            try:
                return deed()
            except (NotFoundError, FileNotFoundError) as error:
                if any(code in str(error) for code in _NO_BUCKET):
                    raise Unavailable(f"{self.url} is not there; make the bucket, or correct its name") from error
                raise NotFound(f"{name} is not in the store") from error
            except (PermissionDeniedError, UnauthenticatedError) as error:
                raise Unavailable(f"{self.url} refuses us: {_told(error)}; check the credentials") from error
            except (BaseError, OSError) as error:
                if left == 0 or time.monotonic() > until:
                    raise Unavailable(f"{self.url} failed: {_told(error)}; nothing was changed, try again") from error
            time.sleep(random.uniform(0.1, 0.5))
        raise AssertionError("the last try returns or raises")


def _told(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
