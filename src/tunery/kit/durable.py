"""Files that are on the disk when a call returns."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["make_once", "sync_folder"]


def make_once(path: Path, data: bytes) -> None:
    """Write a private file (mode 0600) durably, unless it is there: of two who make it at once, one's counts."""
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(staging, path)
    except FileExistsError:
        pass  # another process made it a moment ago
    finally:
        staging.unlink()
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make renames inside a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
