"""The durable jobs that make versions: of what is uploaded or fetched, and of those that stand."""

from __future__ import annotations

from typing import Any

from tunery.datasets.imports import execute_fetch, execute_import
from tunery.datasets.row_names import namer
from tunery.datasets.sources import HubSource
from tunery.datasets.sources.hub import pin_source
from tunery.datasets.tables import DatasetVersion
from tunery.datasets.versions.changing import compact_dataset, delete_rows, restore_version
from tunery.datasets.views import DatasetFetch, DatasetImport
from tunery.platform.jobs import Job, JobContext, job

__all__ = ["compact", "delete", "fetch_dataset", "import_dataset", "restore"]


@job("datasets.import")
def import_dataset(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Import the file that the payload names; a crash leaves the earlier version current, and repeating goes on."""
    return _imported(context, execute_import(context, DatasetImport.model_validate(payload)))


@job("datasets.fetch")
def fetch_dataset(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Fetch what the payload names and import it. A branch is its commit from now on, whoever repeats the job."""
    wish = DatasetFetch.model_validate(payload)
    if isinstance(wish.source, HubSource):
        pinned = pin_source(context.ground, context.tenant_id, wish.source)
        if pinned != wish.source:
            wish = wish.model_copy(update={"source": pinned})
            with context.session() as session:
                session.get_one(Job, context.job_id).payload = wish.model_dump(mode="json", by_alias=True)
    return _imported(context, execute_fetch(context, wish))


@job("datasets.delete_rows")
def delete(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Make a version without the rows that the payload names, not by their ids."""
    named = namer(context.ground, context.tenant_id, payload["key"])
    return _told(delete_rows(context, payload["dataset"], payload["rows"], named))


@job("datasets.restore")
def restore(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Make the version that the payload names the newest."""
    return _told(restore_version(context, payload["version"]))


@job("datasets.compact")
def compact(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Join the small files of the dataset that the payload names."""
    return _told(compact_dataset(context, payload["dataset"]))


def _imported(context: JobContext, row: DatasetVersion) -> dict[str, Any]:
    return _told(row) | {"new": row.import_id.endswith(context.job_id)}


def _told(row: DatasetVersion) -> dict[str, Any]:
    return {"version_id": row.id, "reference": row.reference, "digest": row.digest, "rows": row.rows}
