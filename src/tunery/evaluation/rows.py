"""The rows that are measured: a split of a dataset version."""

from __future__ import annotations

from dataclasses import dataclass

from tunery.datasets.operations import read_split
from tunery.datasets.operations import resolve_version as resolve_dataset
from tunery.datasets.shapes import MAP_A_TABLE
from tunery.errors import InvalidInput, NotFound
from tunery.evaluation.prompts import Row
from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground

__all__ = ["DataFound", "find_dataset", "read_rows"]


@dataclass(frozen=True)
class DataFound:
    """A dataset version as an evaluation records it."""

    name: str
    version: str
    version_id: str
    digest: str


def find_dataset(session: TenantSession, reference: str, split: str) -> DataFound:
    """Return the dataset version to measure on.

    Raises: NotFound: no such version, or the split has no rows. InvalidInput: it is a plain table.
    """
    row = resolve_dataset(session, reference)
    if row.shape == "table":
        raise InvalidInput(f"{row.reference} is a plain table, which asks a model nothing; {MAP_A_TABLE}")
    if not row.rows.get(split):
        has = ", ".join(f"{name} ({count})" for name, count in row.rows.items() if count)
        raise NotFound(f"{row.reference} has no rows in the split {split[:50]!r}; it has: {has}")
    return DataFound(row.dataset.name, str(row.version), row.id, row.digest)


def read_rows(ground: Ground, tenant_id: str, version_id: str, split: str) -> list[Row]:
    """Return the rows of a split, those with a label as a question and its answer: that is what a model is asked."""
    with ground.database.session(tenant_id, read_only=True) as session:
        labelled = resolve_dataset(session, version_id).shape == "classification"
    rows = read_split(ground, tenant_id, version_id, split)
    if not labelled:
        return list(rows)
    return [{"row_id": row["row_id"], "prompt": row["text"], "completion": row["label"]} for row in rows]
