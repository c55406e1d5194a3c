"""What differs between two versions of a dataset, by row id: added, removed, changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunery.datasets.tables import DatasetFile, DatasetVersion
from tunery.datasets.versions.contents import batches_of, files_of
from tunery.datasets.versions.row_files import StoredRow, rows_in
from tunery.platform.ground import Ground

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Difference", "RowChange", "diff_versions"]


@dataclass(frozen=True)
class RowChange:
    """A row that differs: its columns before and after; None where it was not there."""

    row_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    @property
    def change(self) -> str:
        """``added``, ``removed`` or ``changed``."""
        return "added" if self.before is None else "removed" if self.after is None else "changed"


@dataclass(frozen=True)
class Difference:
    """How many rows differ, and a page of them in the order of their ids."""

    added: int
    removed: int
    changed: int
    rows: list[RowChange]


def diff_versions(
    ground: Ground, before: DatasetVersion, after: DatasetVersion, limit: int = 20, offset: int = 0
) -> Difference:
    """Compare two versions by row id and row hash; files that both list are not read.

    Args:
        ground: Where they are.
        before: The one.
        after: The other, of the same dataset.
        limit: Most rows to show.
        offset: Differing rows to pass over.
    """
    import pyarrow.compute as pc

    with ground.database.session(before.tenant_id, read_only=True) as session:
        old, new = files_of(session, before), files_of(session, after)
    shared = {file.digest for file in old} & {file.digest for file in new}
    old, new = ([file for file in files if file.digest not in shared] for files in (old, new))
    one, other = _pairs(ground, before.tenant_id, old), _pairs(ground, before.tenant_id, new)
    both = one.join(other, "row_id", join_type="full outer", left_suffix="_before", right_suffix="_after")
    was, now_is = both["row_hash_before"], both["row_hash_after"]
    differs = pc.fill_null(pc.not_equal(was, now_is), True)
    ids = both.filter(differs).sort_by("row_id").slice(offset, limit)["row_id"].to_pylist()
    added, removed = was.null_count, now_is.null_count
    earlier, later = (_rows(ground, before.tenant_id, files, ids) for files in (old, new))
    rows = [RowChange(row_id, _values(earlier.get(row_id)), _values(later.get(row_id))) for row_id in ids]
    return Difference(added, removed, (pc.sum(differs).as_py() or 0) - added - removed, rows)


def _pairs(ground: Ground, tenant_id: str, files: Sequence[DatasetFile]) -> pa.Table:
    import pyarrow as pa

    schema = pa.schema([("row_id", pa.string()), ("row_hash", pa.binary())])
    batches = batches_of(ground, tenant_id, files, ["row_id", "row_hash"])
    return pa.Table.from_batches([batch.cast(schema) for batch in batches], schema)


def _rows(ground: Ground, tenant_id: str, files: Sequence[DatasetFile], row_ids: Sequence[str]) -> dict[str, StoredRow]:
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(row_ids, pa.string())
    batches = batches_of(ground, tenant_id, files) if row_ids else iter(())
    found = (batch.filter(pc.is_in(batch["row_id"], wanted)) for batch in batches)
    return {row.row_id: row for batch in found for row in rows_in(batch)}


def _values(row: StoredRow | None) -> dict[str, Any] | None:
    return None if row is None else row.values
