"""Find the rows, and the lines of source files, that entries of the subject index lead to."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import sqlalchemy as sa

from tunery.datasets.tables import DatasetFile, DatasetVersion
from tunery.datasets.versions.row_files import ids_at
from tunery.datasets.versions.stored_file import StoredFile
from tunery.datasets.versions.subject_index import SubjectIndex
from tunery.platform.ground import Ground

__all__ = ["FoundRow", "find_lines", "find_rows"]

_THREADS = 8
_READ_WHOLE = 1 << 20
"""An identifier has several entries, one for each kind it can be; up to this length reading all costs less."""


@dataclass(frozen=True)
class FoundRow:
    """A row that an entry leads to.

    Attributes:
        file: The file of rows that holds it.
        number: Its place in the file, from 0.
        row_id: Its id.
        split: The split it belongs to.
    """

    file: DatasetFile
    number: int
    row_id: str
    split: str


def find_rows(ground: Ground, tenant_id: str, entries: Sequence[bytes]) -> list[FoundRow]:
    """Return the rows of all of a tenant's datasets that any of the entries leads to, those of old versions too."""
    with ground.database.session(tenant_id, read_only=True) as session:
        named = sa.select(DatasetFile).where(DatasetFile.subjects_digest.is_not(None)).order_by(DatasetFile.id)
        files = [*session.scalars(named)]
    numbers = _look_up(ground, tenant_id, [str(file.subjects_digest) for file in files], entries)
    found = []
    for file, wanted in zip(files, numbers, strict=True):
        if wanted:
            ids = ids_at(StoredFile(ground.blobs, tenant_id, file.digest), file.digest, wanted)
            found += [FoundRow(file, number, *row) for number, row in zip(wanted, ids, strict=True)]
    return found


def find_lines(ground: Ground, tenant_id: str, entries: Sequence[bytes]) -> dict[str, list[int]]:
    """Return the lines, by the digest of the source file, that any of the entries leads to: of rows that were
    left out or set aside too."""
    with ground.database.session(tenant_id, read_only=True) as session:
        named = sa.select(DatasetVersion.source_digest, DatasetVersion.source_subjects_digest).where(
            DatasetVersion.source_subjects_digest.is_not(None), DatasetVersion.source_digest.is_not(None)
        )
        sources = sorted({(str(source), str(index)) for source, index in session.execute(named)})
    numbers = _look_up(ground, tenant_id, [index for _, index in sources], entries)
    found: dict[str, set[int]] = {}
    for (source, _), lines in zip(sources, numbers, strict=True):
        if lines:
            found.setdefault(source, set()).update(lines)
    return {source: sorted(lines) for source, lines in found.items()}


def _look_up(ground: Ground, tenant_id: str, indexes: Sequence[str], entries: Sequence[bytes]) -> list[list[int]]:
    def numbers(digest: str) -> list[int]:
        file = ground.blobs.look_up(tenant_id, digest)
        if file.size <= _READ_WHOLE:
            whole = file.read(0, file.size)
            index = SubjectIndex(lambda start, length: whole[start : start + length], file.size)
        else:
            index = SubjectIndex(file.read, file.size)
        return sorted({number for entry in entries for number in index.rows(entry)})

    with ThreadPoolExecutor(_THREADS) as pool:
        return [*pool.map(numbers, indexes)]
