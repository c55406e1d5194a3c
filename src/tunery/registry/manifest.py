"""The manifest of a version: which files, which digests, which base. It is what is signed.

    {"schema": 1, "kind": "adapter", "base": {"sha256": "<manifest digest of the base>"},
     "files": [{"path": "adapter_model.safetensors", "size_bytes": 1, "digests": {"sha256": "..."}}]}

Files are sorted by path and the JSON is canonical, so equal files give an equal digest. Readers ignore fields they do
not know and refuse a ``schema`` newer than theirs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from tunery.errors import InvalidInput, PathInvalid
from tunery.kit.digests import check_digest, sha256_json
from tunery.platform.blobs import Blob

__all__ = ["build_manifest", "check_file_path", "manifest_digest"]

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def build_manifest(kind: str, files: Iterable[tuple[str, Blob]], base_digest: str | None) -> dict[str, Any]:
    """Build a manifest. Raises: PathInvalid: a path is unsafe. InvalidInput: two would collide on some disk."""
    entries: dict[str, dict[str, Any]] = {}
    for path, blob in files:
        key = check_file_path(path).casefold()
        if key in entries:
            raise InvalidInput(f"two files are named {path!r} (upper and lower case count as equal)")
        digests = {"sha256": check_digest(blob.digest)}
        entries[key] = {"path": path, "size_bytes": blob.size_bytes, "digests": digests}
    if not entries:
        raise InvalidInput("a version needs at least one file")
    return {
        "schema": 1,
        "kind": kind,
        "base": {"sha256": base_digest} if base_digest else None,
        "files": sorted(entries.values(), key=lambda entry: str(entry["path"])),
    }


def manifest_digest(manifest: dict[str, Any]) -> str:
    """Return the SHA-256 of the canonical manifest: the public digest of a version."""
    return sha256_json(manifest)


def check_file_path(path: str) -> str:
    """Return a relative path that is safe on every disk. Raises: PathInvalid: says what is wrong with it."""
    parts = PurePosixPath(path).parts
    wrong = (
        not parts
        or len(path) > 250
        or path.startswith("/")
        or "\\" in path
        or ":" in path
        or str(PurePosixPath(path)) != path
        or any(part in ("..", ".") or part[-1] in ". " or _RESERVED.fullmatch(part) for part in parts)
        or any(unicodedata.category(c)[0] == "C" for c in path)
        or unicodedata.normalize("NFC", path) != path
    )
    if wrong:
        raise PathInvalid(f"{path[:100]!r} is no safe file path: use plain relative names without '..'")
    return path
