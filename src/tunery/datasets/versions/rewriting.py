"""New files from those of a version: only the files that hold a row which changes are written anew."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from tunery.datasets.tables import DatasetFile
from tunery.datasets.versions.contents import batches_of
from tunery.datasets.versions.row_files import StoredRow, rows_in
from tunery.datasets.versions.writing import STEP, put_rows
from tunery.platform.ground import Ground

__all__ = ["after", "replace_rows", "without_rows"]


def after(files: Sequence[DatasetFile]) -> int:
    """Return the sequence number of the file that follows these."""
    return max((file.sequence // STEP + 1 for file in files), default=0) * STEP


def without_rows(
    ground: Ground,
    tenant_id: str,
    dataset_id: str,
    files: Sequence[DatasetFile],
    row_ids: Collection[str],
    scratch: Path,
) -> tuple[list[DatasetFile], set[str]]:
    """Return the files of the version without these rows, and which of the rows were there."""
    return _rewritten(ground, tenant_id, dataset_id, files, row_ids, lambda row: None, scratch)


def replace_rows(
    ground: Ground,
    tenant_id: str,
    dataset_id: str,
    files: Sequence[DatasetFile],
    rows: Mapping[str, StoredRow],
    scratch: Path,
    *,
    indexed: bool,
) -> tuple[list[DatasetFile], set[str]]:
    """Return the files of the version with these rows (by row id) in the places of their like, and which had one.

    Whether the new rows were looked at for people says ``indexed``.
    """
    return _rewritten(
        ground, tenant_id, dataset_id, files, rows, lambda row: rows[row.row_id], scratch, indexed=indexed
    )


def _rewritten(
    ground: Ground,
    tenant_id: str,
    dataset_id: str,
    files: Sequence[DatasetFile],
    row_ids: Collection[str],
    becomes: Callable[[StoredRow], StoredRow | None],
    scratch: Path,
    *,
    indexed: bool = True,
) -> tuple[list[DatasetFile], set[str]]:
    made: list[DatasetFile] = []
    found: set[str] = set()
    for file in files:
        ids = batches_of(ground, tenant_id, [file], ["row_id"])
        held = {row_id for batch in ids for row_id in batch["row_id"].to_pylist() if row_id in row_ids}
        if not held:
            made.append(file)
            continue
        found |= held
        rows = (row for batch in batches_of(ground, tenant_id, [file]) for row in rows_in(batch))
        changed, known = _changed(rows, held, becomes), file.indexed and indexed
        made += put_rows(ground, tenant_id, dataset_id, changed, scratch, file.sequence, 1, indexed=known)
    return made, found


def _changed(
    rows: Iterator[StoredRow], row_ids: Collection[str], becomes: Callable[[StoredRow], StoredRow | None]
) -> Iterator[StoredRow]:
    for row in rows:
        changed = becomes(row) if row.row_id in row_ids else row
        if changed is not None:
            yield changed
