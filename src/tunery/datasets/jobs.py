"""The durable jobs that make versions of what is uploaded, or fetched."""

from __future__ import annotations

from typing import Any

from tunery.datasets.imports import execute_import
from tunery.datasets.sources.obtaining import obtain_source
from tunery.datasets.views import DatasetFetch, DatasetImport
from tunery.platform.jobs import JobContext, job

__all__ = ["fetch_dataset", "import_dataset"]


@job("datasets.import")
def import_dataset(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Import the file that the payload names; a crash leaves the earlier version current, and repeating goes on."""
    return _imported(context, DatasetImport.model_validate(payload))


@job("datasets.fetch")
def fetch_dataset(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Fetch what the payload names into the store and import it; what the Hub's cache has is not fetched again."""
    wish = DatasetFetch.model_validate(payload)
    found = obtain_source(context, wish.source, format_known=wish.options.format is not None)
    file = DatasetImport(
        name=wish.name,
        file_digest=found.digest,
        file_name=found.file_name,
        options=wish.options,
        mode=wish.mode,
        license=wish.license or (found.license or "")[:100] or None,
        url=found.url,
        description=wish.description,
    )
    return _imported(context, file)


def _imported(context: JobContext, wish: DatasetImport) -> dict[str, Any]:
    row = execute_import(context, wish)
    return {"version_id": row.id, "reference": row.reference, "digest": row.digest, "rows": row.rows}
