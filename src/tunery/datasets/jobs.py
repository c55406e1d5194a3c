"""The durable job of an import."""

from __future__ import annotations

from typing import Any

from tunery.datasets.imports import execute_import
from tunery.datasets.views import DatasetImport
from tunery.platform.jobs import JobContext, job

__all__ = ["import_dataset"]


@job("datasets.import")
def import_dataset(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Import the file that the payload names; a crash leaves the earlier version current, and repeating goes on."""
    row = execute_import(context, DatasetImport.model_validate(payload))
    return {"version_id": row.id, "reference": row.reference, "digest": row.digest, "rows": row.rows}
