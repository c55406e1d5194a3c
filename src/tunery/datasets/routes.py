"""Routes of datasets."""

from __future__ import annotations

from fastapi import Query

from tunery import audit
from tunery.datasets import operations
from tunery.datasets.inspection import Findings
from tunery.datasets.views import (
    DatasetFetch,
    DatasetImport,
    DatasetInspect,
    DatasetVersionView,
    DatasetView,
    JobStarted,
    Provenance,
    RowView,
    SanitizerView,
)
from tunery.kit.references import check_name
from tunery.platform.http import Call, Limit, Offset, route
from tunery.platform.jobs import enqueue_job

__all__: list[str] = []


@route("datasets.import", "POST", "/datasets/import", permission="datasets:create", status=202)
def import_dataset(call: Call, body: DatasetImport) -> JobStarted:
    """Import an uploaded file as a new version, as a durable job."""
    check_name(body.name)
    call.ground.blobs.claim(call.actor.tenant_id, body.file_digest)
    payload = body.model_dump(mode="json", by_alias=True)
    job = enqueue_job(call.session, call.actor, "datasets.import", payload, f"datasets/{body.name}")
    audit.record(call.session, call.actor, "dataset_import_started", f"datasets/{body.name}", job=job.id)
    return JobStarted(job_id=job.id)


@route("datasets.fetch", "POST", "/datasets/fetch", permission="datasets:create", status=202)
def fetch_dataset(call: Call, body: DatasetFetch) -> JobStarted:
    """Fetch a dataset of the Hub, or a file at a public web address, and import it, as a durable job."""
    check_name(body.name)
    payload = body.model_dump(mode="json", by_alias=True)
    job = enqueue_job(call.session, call.actor, "datasets.fetch", payload, f"datasets/{body.name}")
    audit.record(
        call.session, call.actor, "dataset_fetch_started", f"datasets/{body.name}", job=job.id, source=body.source.path
    )
    return JobStarted(job_id=job.id)


@route("datasets.inspect", "POST", "/datasets/inspect", permission="datasets:create")
def inspect(call: Call, body: DatasetInspect) -> Findings:
    """Look at an uploaded file: shape, columns, lengths, lines that cannot be used; nothing is imported."""
    return operations.inspect_upload(call.ground, call.actor.tenant_id, body)


@route("datasets.list", "GET", "/datasets", permission="datasets:read")
def list_datasets(call: Call, limit: Limit = 50, offset: Offset = 0) -> list[DatasetView]:
    """List datasets."""
    return call.page(operations.list_datasets(call.session, limit, offset), DatasetView.model_validate)


@route("datasets.get", "GET", "/datasets/{name}", permission="datasets:read")
def get_dataset(call: Call, name: str) -> DatasetView:
    """Show a dataset."""
    return DatasetView.model_validate(operations.get_dataset(call.session, name))


@route("datasets.versions", "GET", "/datasets/{name}/versions", permission="datasets:read")
def list_versions(call: Call, name: str) -> list[DatasetVersionView]:
    """List a dataset's versions, the newest first."""
    return [DatasetVersionView.model_validate(row) for row in operations.list_versions(call.session, name)]


@route("datasets.rows", "GET", "/datasets/{name}/rows", permission="datasets:read")
def rows(
    call: Call,
    name: str,
    version: str | None = Query(None, max_length=40),
    split: str | None = Query(None, max_length=50),
    limit: Limit = 20,
    offset: Offset = 0,
) -> list[RowView]:
    """Show rows of a version, in the order of their import."""
    found = operations.resolve_version(call.session, f"{name}:{version}" if version else name)
    call.meta = {"total": found.rows.get(split, 0) if split else found.total_samples, "limit": limit, "offset": offset}
    return [
        RowView(row_id=row.row_id, split=row.split, line=row.line, row=row.values)
        for row in operations.rows_of(call.ground, found, split, limit, offset)
    ]


@route("datasets.sanitizers", "GET", "/sanitizers", permission="datasets:read")
def list_sanitizers(call: Call) -> list[SanitizerView]:
    """List the sanitising steps that a recipe may name, with their parameters."""
    return operations.list_sanitizers()


@route("datasets.provenance", "GET", "/datasets/{name}/provenance", permission="datasets:read")
def provenance(call: Call, name: str, version: str | None = Query(None, max_length=40)) -> Provenance:
    """Show where a version came from and what was done to it."""
    found = operations.resolve_version(call.session, f"{name}:{version}" if version else name)
    return Provenance(
        dataset_id=found.dataset_id,
        dataset_name=found.dataset.name,
        dataset_version=str(found.version),
        checksum=found.digest,
        total_samples=found.total_samples,
        **found.provenance,
    )
