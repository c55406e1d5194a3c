"""The rows of a version: which files it has, and what lies in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from tunery.datasets.tables import DatasetFile, DatasetVersion, DatasetVersionFile
from tunery.datasets.versions.log import DeltaLog
from tunery.datasets.versions.row_files import StoredRow, read_batches, rows_in
from tunery.datasets.versions.stored_file import StoredFile
from tunery.platform.blobs import table_place
from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["batches_of", "files_of", "log_of", "read_rows"]


def log_of(ground: Ground, tenant_id: str, dataset_id: str) -> DeltaLog:
    """Return the Delta log of a dataset."""
    return DeltaLog(*table_place(ground.settings, tenant_id, dataset_id))


def files_of(session: TenantSession, version: DatasetVersion) -> list[DatasetFile]:
    """Return the files that a version lists, in order."""
    listed = sa.select(DatasetVersionFile.file_id).where(DatasetVersionFile.version_id == version.id)
    files = sa.select(DatasetFile).where(DatasetFile.id.in_(listed))
    return list(session.scalars(files.order_by(DatasetFile.sequence, DatasetFile.id)))


def read_rows(
    ground: Ground, version: DatasetVersion, *, split: str | None = None, offset: int = 0, limit: int | None = None
) -> Iterator[StoredRow]:
    """Yield the rows of a version in their order, one batch in memory at a time.

    Args:
        ground: Where they are.
        version: Its row.
        split: Only rows of this split.
        offset: Rows (of the split) to pass over.
        limit: Most rows to yield; none for all.

    Raises:
        IntegrityError: The version, or a file of it, is missing or damaged.
    """
    import pyarrow.compute as pc

    with ground.database.session(version.tenant_id, read_only=True) as session:
        files = files_of(session, version)
    left = limit
    for batch in batches_of(ground, version.tenant_id, files):
        found = batch if split is None else batch.filter(pc.equal(batch["split"], split))
        kept = found.slice(offset, left)
        offset = max(0, offset - found.num_rows)
        yield from rows_in(kept)
        if left is not None:
            left -= kept.num_rows
            if left <= 0:
                return


def batches_of(
    ground: Ground, tenant_id: str, files: Iterable[DatasetFile], columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the batches of files in the store, only these columns of them. Raises: IntegrityError."""
    for file in files:
        yield from read_batches(StoredFile(ground.blobs, tenant_id, file.digest), file.digest, columns)
