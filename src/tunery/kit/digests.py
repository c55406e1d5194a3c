"""SHA-256 over bytes, files and canonical JSON: the public, signed and lineage digest."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from json.encoder import c_make_encoder, encode_basestring  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any

from tunery.errors import DigestInvalid

__all__ = ["canonical_json", "check_digest", "sha256_bytes", "sha256_file", "sha256_json"]

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_MADE_ONCE: Callable[[Any, int], Iterable[str]] | None = c_make_encoder and c_make_encoder(
    None, _CANONICAL.default, encode_basestring, None, ":", ",", True, False, False
)
"""What ``_CANONICAL.encode`` makes anew for each value, which takes as long as encoding a row."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


def canonical_json(value: Any) -> bytes:
    """Encode as UTF-8 JSON with sorted keys and no spaces, so that equal values are equal bytes. NaN is refused."""
    if _MADE_ONCE is None:
        return _CANONICAL.encode(value).encode()
    return "".join(_MADE_ONCE(value, 0)).encode()


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of the bytes as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_json(value: Any) -> str:
    """Return the SHA-256 of the value's canonical JSON."""
    return sha256_bytes(canonical_json(value))


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_digest(digest: str) -> str:
    """Return the digest if it is 64 lower-case hex digits. Raises: DigestInvalid: it is not, wherever it came from."""
    if not _DIGEST.fullmatch(digest):
        raise DigestInvalid(f"{digest[:80]!r} is no digest: it must be 64 lower-case hex digits (SHA-256)")
    return digest
