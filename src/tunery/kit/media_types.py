"""What bytes are, by the names that the store knows; a file that breaks the format it declares is refused."""

from __future__ import annotations

from pathlib import PurePath

__all__ = ["BYTES", "GGUF", "SAFETENSORS", "media_type_of"]

BYTES = "application/octet-stream"
SAFETENSORS = "application/x-safetensors"
GGUF = "application/x-gguf"


def media_type_of(name: str) -> str:
    """Return what a file of that name claims to be.

    >>> media_type_of("model-00001-of-00002.safetensors")
    'application/x-safetensors'
    """
    return {".safetensors": SAFETENSORS, ".gguf": GGUF}.get(PurePath(name).suffix.lower(), BYTES)
