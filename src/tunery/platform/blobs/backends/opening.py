"""From a URL to a backend."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tunery.errors import InvalidInput
from tunery.platform.blobs.backends.buckets import SCHEMES, Bucket, Patience, open_bucket
from tunery.platform.blobs.backends.local import LocalBackend
from tunery.platform.blobs.backends.port import Backend
from tunery.platform.blobs.backends.remote import RemoteBackend

if TYPE_CHECKING:
    from obstore.store import MemoryStore

__all__ = ["bucket_at", "open_backend"]

_opening = threading.Lock()


def open_backend(url: str, patience: Patience | None = None) -> Backend:
    """Open the place a URL names: ``file:///folder``, ``s3://bucket/prefix``, ``gs://``, ``az://`` or ``memory://name``.

    Credentials and endpoints come from the environment, by the names that the providers' own tools use: ``AWS_*``,
    ``GOOGLE_*``, ``AZURE_*``. What is put into ``memory://name`` lives as long as the process, also when it is opened
    again.

    Raises:
        InvalidInput: The URL names no such place.
    """
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InvalidInput(
            f"the {parts.scheme}:// address of the store has more than a place in it; "
            "credentials and endpoint belong into the environment (AWS_*, GOOGLE_*, AZURE_*)"
        )
    path = unquote(parts.path)
    if parts.scheme == "file" and path.startswith("/") and not parts.netloc:
        return LocalBackend(Path(path))
    if parts.scheme == "memory":
        with _opening:
            return RemoteBackend(_memory(parts.netloc + path), url)
    bucket = bucket_at(url)
    if bucket is None:
        raise InvalidInput(
            f"{url!r} is no place to store bytes; use file:///folder, s3://bucket/prefix, gs:// or az://"
        )
    return open_bucket(bucket, patience or Patience())


def bucket_at(url: str) -> Bucket | None:
    """Return the bucket that a URL names; None if it names no bucket."""
    parts = urlsplit(url)
    return Bucket(parts.scheme, parts.netloc, unquote(parts.path)) if parts.scheme in SCHEMES else None


@cache
def _memory(name: str) -> MemoryStore:
    from obstore.store import MemoryStore

    return MemoryStore()
