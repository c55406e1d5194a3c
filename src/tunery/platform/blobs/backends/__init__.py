"""Where sealed bytes lie: a folder, or an object store by URL or by a file of settings."""

from tunery.platform.blobs.backends.buckets import Patience
from tunery.platform.blobs.backends.config import Compression, StoreConfig, read_store_config
from tunery.platform.blobs.backends.local import LocalBackend
from tunery.platform.blobs.backends.opening import bucket_at, open_backend
from tunery.platform.blobs.backends.port import Backend, Entry

__all__ = [
    "Backend",
    "Compression",
    "Entry",
    "LocalBackend",
    "Patience",
    "StoreConfig",
    "bucket_at",
    "open_backend",
    "read_store_config",
]
