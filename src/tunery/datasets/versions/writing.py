"""Write a version: new rows into files of the store, all its files into the log, then its row into SQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from tunery.datasets.tables import DatasetFile, DatasetVersion, DatasetVersionFile
from tunery.datasets.versions.contents import batches_of, log_of
from tunery.datasets.versions.digests import digest_of_rows
from tunery.datasets.versions.log import LoggedFile
from tunery.datasets.versions.row_files import MEDIA_TYPE, StoredRow, write_row_files
from tunery.datasets.versions.subject_index import MEDIA_TYPE as INDEX_TYPE
from tunery.datasets.versions.subject_index import Records
from tunery.errors import StaleState
from tunery.kit.ids import new_id
from tunery.platform.blobs.references import hold_files
from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["STEP", "Written", "list_files", "put_index", "put_rows", "write_version"]


STEP = 1 << 10
"""Between the places of two files: so many may take the place of one without touching the next."""


@dataclass(frozen=True)
class Written:
    """A version that stands in the log; nobody sees it before SQL records it.

    Attributes:
        number: Its number in the log.
        digest: SHA-256 over its sorted pairs of row id and row hash.
        rows: Number of rows by split.
        size_bytes: Bytes of its files.
        files: All of them in order, those of earlier versions too.
    """

    number: int
    digest: str
    rows: dict[str, int]
    size_bytes: int
    files: list[DatasetFile]


def put_rows(
    ground: Ground,
    tenant_id: str,
    dataset_id: str,
    rows: Iterable[StoredRow] | Iterable[pa.RecordBatch],
    scratch: Path,
    first_sequence: int = 0,
    step: int = STEP,
    *,
    indexed: bool = True,
) -> list[DatasetFile]:
    """Put rows into new files of the store; nothing names them yet.

    Args:
        ground: Where the store is.
        tenant_id: Whose rows these are.
        dataset_id: Of which dataset.
        rows: In order; rows, or batches of them as a file has them.
        scratch: An existing folder; one file of rows at a time lies in it.
        first_sequence: Place of the first file.
        step: From one file's place to the next one's.
        indexed: Whether all the rows were looked at for people.
    """
    files = []
    for number, written in enumerate(write_row_files(scratch, rows)):
        blob = ground.blobs.put(tenant_id, written.path, MEDIA_TYPE)
        written.path.unlink()
        sequence = first_sequence + number * step
        file = DatasetFile(dataset_id=dataset_id, sequence=sequence, digest=blob.digest, rows=written.rows)
        file.id, file.size_bytes, file.indexed = new_id(), blob.size_bytes, indexed
        file.subjects_digest = put_index(ground, tenant_id, written.subjects)
        files.append(file)
    return files


def put_index(ground: Ground, tenant_id: str, records: Records) -> str | None:
    """Put a subject index of records into the store and return its digest; None where it would be empty."""
    return ground.blobs.put(tenant_id, records.in_order(), INDEX_TYPE).digest if len(records) else None


def write_version(ground: Ground, tenant_id: str, dataset_id: str, files: Sequence[DatasetFile]) -> Written:
    """Commit files to the dataset's log as its next version."""
    ordered = sorted(files, key=lambda file: file.sequence)
    logged = [LoggedFile(file.sequence, file.digest, file.size_bytes) for file in ordered]
    number = log_of(ground, tenant_id, dataset_id).commit(new_id(), logged)
    rows = sum((Counter(file.rows) for file in ordered), Counter[str]())
    digest = digest_of_rows(batches_of(ground, tenant_id, ordered, ["row_id", "row_hash"]))
    return Written(number, digest, dict(rows), sum(file.size_bytes for file in ordered), ordered)


def list_files(session: TenantSession, version: DatasetVersion, files: Sequence[DatasetFile]) -> None:
    """Let a version list its files, and hold them and its source. Raises: NotFound, StaleState: one went meanwhile."""
    others = version.source_digest, version.quarantine_digest, version.source_subjects_digest
    indexes = (file.subjects_digest for file in files)
    hold_files(session, {*filter(None, (*others, *indexes)), *(file.digest for file in files)})
    for file in files:
        if sa.inspect(file).transient:
            session.add(file)
        elif file not in session and session.get(DatasetFile, file.id) is None:
            raise StaleState("rows of this dataset were erased meanwhile; make the change anew")
        session.add(DatasetVersionFile(version_id=version.id, file_id=file.id))
