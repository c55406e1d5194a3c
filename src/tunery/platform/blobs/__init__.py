"""Content-addressed bytes."""

from tunery.platform.blobs.store import Blob, BlobStore

__all__ = ["Blob", "BlobStore"]
