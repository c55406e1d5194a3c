"""Changes of a dataset that need no file: rows deleted, an older version made the newest, small files joined."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import chain
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tunery.datasets.operations import get_dataset, newest_version, resolve_version
from tunery.datasets.tables import Dataset, DatasetFile, DatasetVersion
from tunery.datasets.versions.contents import batches_of, files_of
from tunery.datasets.versions.recording import Change, node_of, record_version, while_it_stands
from tunery.datasets.versions.rewriting import after, without_rows
from tunery.datasets.versions.row_files import rows_in
from tunery.datasets.versions.writing import put_rows, write_version
from tunery.errors import InvalidInput, NotFound
from tunery.kit.clock import now
from tunery.platform.housekeeping import scratch_folder
from tunery.platform.jobs import JobContext

__all__ = ["compact_dataset", "delete_rows", "restore_version"]

_SMALL_BYTES = 64 << 20
_TOLD = 20

Make = Callable[[list[DatasetFile], Path], list[DatasetFile]]


def delete_rows(
    context: JobContext, name: str, rows: Collection[str], named: Callable[[str], str] = str
) -> DatasetVersion:
    """Make a version without these rows; older versions keep them (``subjects erase`` is for forgetting).

    Args:
        context: The job's.
        name: The dataset.
        rows: What names the rows.
        named: Returns what names a row, by its id.

    Raises:
        NotFound: One of them is not in the newest version. InvalidInput: none would be left.
    """
    wanted = [*dict.fromkeys(rows)]

    def make(files: list[DatasetFile], scratch: Path) -> list[DatasetFile]:
        ids = (
            batch["row_id"].to_pylist() for batch in batches_of(context.ground, context.tenant_id, files, ["row_id"])
        )
        held, sought = dict[str, str](), {*wanted}
        for row_id in chain.from_iterable(ids):
            if (called := named(row_id)) in sought:
                held[row_id] = called
        sought.difference_update(held.values())
        if sought:
            # By their places: an id may be a person's number, and what a job says is kept.
            places = [str(place) for place, called in enumerate(wanted, 1) if called in sought]
            shown = ", ".join(places[:_TOLD]) + (", ..." if places[_TOLD:] else "")
            raise NotFound(
                f"the newest version of {name} lacks {len(places)} of the {len(wanted)} rows, by their place among "
                f"those that were named: {shown}; nothing was deleted"
            )
        left, _ = without_rows(context.ground, context.tenant_id, files[0].dataset_id, files, {*held}, scratch)
        if not left:
            raise InvalidInput("these are all rows of the dataset; a version has at least one")
        return left

    return _change(context, name, "delete", f"Deleted {len(wanted)} rows by their ids", len(wanted), make)


def compact_dataset(context: JobContext, name: str) -> DatasetVersion:
    """Join small files; the rows stay as they are. Returns the newest version where there is nothing to join."""
    with context.session() as session:
        newest = resolve_version(session, name)
        if sum(file.size_bytes < _SMALL_BYTES for file in files_of(session, newest)) < 2:
            return newest

    def make(files: list[DatasetFile], scratch: Path) -> list[DatasetFile]:
        where = context.ground, context.tenant_id, files[0].dataset_id
        rows = (row for batch in batches_of(*where[:2], files) for row in rows_in(batch))
        return put_rows(*where, rows, scratch, after(files), indexed=all(file.indexed for file in files))

    return _change(context, name, "compact", "Joined small files", 0, make)


def restore_version(context: JobContext, reference: str) -> DatasetVersion:
    """Make a new version with exactly the files of an older one."""
    with context.session() as session:
        wanted = resolve_version(session, reference)
        name, files = wanted.dataset.name, files_of(session, wanted)
    return _change(context, name, "restore", f"Restored {wanted.reference}", 0, lambda *_: files, wanted)


def _by_job(dataset: Dataset, job_id: str) -> sa.Select[DatasetVersion]:
    return sa.select(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id, DatasetVersion.import_id == job_id)


def _change(
    context: JobContext, name: str, kind: str, told: str, affected: int, make: Make, like: DatasetVersion | None = None
) -> DatasetVersion:
    with context.session() as session:
        dataset = get_dataset(session, name)
        if (done := session.scalars(_by_job(dataset, context.job_id)).one_or_none()) is not None:
            return done
        parent = newest_version(session, dataset) if like else resolve_version(session, name)
        files = files_of(session, parent)
    with while_it_stands(context.ground, like or parent), scratch_folder(context.ground.settings, "change") as scratch:
        written = write_version(context.ground, context.tenant_id, dataset.id, make(files, scratch))
    like = like or parent
    step = {"step": kind, "description": told, "affectedSamples": affected, "timestamp": now().isoformat()}
    columns: dict[str, Any] = {
        "shape": like.shape,
        "options": like.options,
        "total_tokens": like.total_tokens if kind in ("compact", "restore") else None,
        "provenance": like.provenance
        | {"preprocessingSteps": [*like.provenance["preprocessingSteps"], {**step, "parameters": {}}]},
    }
    with context.session() as session:
        dataset = get_dataset(session, name)
        source = node_of(like) if like is not parent else None
        change = Change(kind, context.job_id, parent, source, columns)
        return record_version(session, context.actor, dataset, written, change)
