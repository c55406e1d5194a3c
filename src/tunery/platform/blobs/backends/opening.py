"""From a URL to a backend."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from tunery.errors import InvalidInput
from tunery.platform.blobs.backends.local import LocalBackend
from tunery.platform.blobs.backends.port import Backend
from tunery.platform.blobs.backends.remote import RemoteBackend

__all__ = ["open_backend"]


def open_backend(url: str) -> Backend:
    """Open the place a URL names: ``file:///folder``, ``s3://bucket/prefix``, ``gs://``, ``az://`` or ``memory://``.

    Credentials and endpoints come from the environment, by the names that the providers' own tools use.

    Raises:
        InvalidInput: The URL names no such place.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return LocalBackend(Path(unquote(parts.path)))
    if parts.scheme not in ("s3", "gs", "az", "memory"):
        raise InvalidInput(f"{url!r} is no place to store bytes; use file://, s3://, gs:// or az://")
    import obstore.store
    from obstore.exceptions import BaseError

    try:
        store = obstore.store.from_url(url)
    except (BaseError, ValueError) as error:
        raise InvalidInput(f"{url!r} cannot be opened: {error}") from error
    return RemoteBackend(store, url)
