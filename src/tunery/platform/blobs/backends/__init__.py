"""Where sealed bytes lie: a folder, or an object store by URL."""

from tunery.platform.blobs.backends.local import LocalBackend
from tunery.platform.blobs.backends.opening import open_backend
from tunery.platform.blobs.backends.port import Backend, Entry

__all__ = ["Backend", "Entry", "LocalBackend", "open_backend"]
