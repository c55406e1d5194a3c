"""Content-addressed bytes."""

from tunery.platform.blobs.opening import configured, open_store, table_place
from tunery.platform.blobs.store import Blob, BlobStore

__all__ = ["Blob", "BlobStore", "configured", "open_store", "table_place"]
