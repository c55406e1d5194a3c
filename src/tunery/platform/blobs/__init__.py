"""Content-addressed bytes."""

from tunery.platform.blobs.opening import open_store
from tunery.platform.blobs.store import Blob, BlobStore

__all__ = ["Blob", "BlobStore", "open_store"]
