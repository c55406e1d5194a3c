"""Lay a dataset out as a Delta table with its whole history, as one stream.

Version ``n`` of the table is version ``n`` of the dataset; an erased one is empty. Source: POSIX.1-2001, pax archives.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from tunery.datasets.tables import DatasetFile, DatasetVersion
from tunery.datasets.versions.log import DeltaLog, LoggedFile
from tunery.datasets.versions.rebuilding import commit_files
from tunery.errors import IntegrityError
from tunery.platform.ground import Ground

__all__ = ["delta_archive"]

_BLOCK = 512


def delta_archive(
    ground: Ground, histories: list[tuple[DatasetVersion, list[DatasetFile]]], scratch: Path
) -> Iterator[bytes]:
    """Yield the bytes of a tar archive: the table's log, and every file that it lists.

    Args:
        ground: Where the files are.
        histories: The dataset's versions, the oldest first, with their files.
        scratch: An existing folder for the log.
    """
    log = DeltaLog(str(scratch / "table"))
    for version, listed in histories:
        if commit_files(log, listed) != version.version:
            raise IntegrityError(f"{version.dataset.name} lacks the version before {version.version}")
    for path in sorted((scratch / "table" / "_delta_log").glob("*.json")):
        yield from _member(f"_delta_log/{path.name}", path.stat().st_size, iter([path.read_bytes()]))
    files = {file.id: file for _, listed in histories for file in listed}
    for file in files.values():
        name = LoggedFile(file.sequence, file.digest, file.size_bytes).name
        yield from _member(name, file.size_bytes, ground.blobs.open(file.tenant_id, file.digest))
    yield bytes(2 * _BLOCK)


def _member(name: str, size: int, content: Iterator[bytes]) -> Iterator[bytes]:
    header = tarfile.TarInfo(name)
    header.size = size
    yield header.tobuf(tarfile.PAX_FORMAT)
    yield from content
    yield bytes(-size % _BLOCK)
