"""Routes of datasets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from fastapi import Query
from starlette.responses import Response, StreamingResponse

from tunery import audit
from tunery.datasets import operations
from tunery.datasets.inspection import BadLine, Findings
from tunery.datasets.provenance import provenance_of
from tunery.datasets.publishing.card import card_of
from tunery.datasets.publishing.croissant import zip_croissant
from tunery.datasets.row_names import names_of
from tunery.datasets.versions.diffing import diff_versions
from tunery.datasets.views import (
    CardView,
    DatasetDeleteRows,
    DatasetFetch,
    DatasetImport,
    DatasetInspect,
    DatasetRestore,
    DatasetTagging,
    DatasetVersionView,
    DatasetView,
    DifferenceView,
    JobStarted,
    Provenance,
    RowChangeView,
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
    return _start(call, "import", body.name, body.model_dump(mode="json", by_alias=True))


@route("datasets.fetch", "POST", "/datasets/fetch", permission="datasets:create", status=202)
def fetch_dataset(call: Call, body: DatasetFetch) -> JobStarted:
    """Fetch a dataset of the Hub, or a file at a public web address, and import it, as a durable job."""
    check_name(body.name)
    return _start(call, "fetch", body.name, body.model_dump(mode="json", by_alias=True), source=body.source.path)


@route("datasets.delete_rows", "POST", "/datasets/{name}/delete-rows", permission="datasets:create", status=202)
def delete_rows(call: Call, name: str, body: DatasetDeleteRows) -> JobStarted:
    """Make a version without some rows, as a durable job; older versions keep them."""
    dataset = operations.find_version(call.session, name).dataset
    named = names_of(call.ground, call.actor.tenant_id, body.row_ids)
    return _start(call, "delete_rows", dataset.name, {"dataset": dataset.name, **named})


@route("datasets.restore", "POST", "/datasets/{name}/restore", permission="datasets:create", status=202)
def restore(call: Call, name: str, body: DatasetRestore) -> JobStarted:
    """Make a new version with the rows of an older one, as a durable job."""
    version = operations.find_version(call.session, name, body.version)
    return _start(call, "restore", version.dataset.name, {"version": version.id})


@route("datasets.compact", "POST", "/datasets/{name}/compact", permission="datasets:create", status=202)
def compact(call: Call, name: str) -> JobStarted:
    """Join the small files of the newest version in a new one, as a durable job; the rows stay as they are."""
    dataset = operations.find_version(call.session, name).dataset
    return _start(call, "compact", dataset.name, {"dataset": dataset.name})


@route("datasets.tag", "POST", "/datasets/{name}/tags", permission="datasets:create", status=201)
def tag(call: Call, name: str, body: DatasetTagging) -> DatasetVersionView:
    """Give a version a name, taking it from the one that had it."""
    version = operations.find_version(call.session, name, body.version)
    return DatasetVersionView.model_validate(operations.tag_version(call.session, call.actor, version.id, body.tag))


@route("datasets.diff", "GET", "/datasets/{name}/diff", permission="datasets:read")
def diff(
    call: Call,
    name: str,
    before: str | None = Query(None, max_length=40),
    after: str | None = Query(None, max_length=40),
    limit: Limit = 20,
    offset: Offset = 0,
) -> DifferenceView:
    """Show which rows of a version came, went or changed since another; by default in the newest since its parent."""
    new = operations.find_version(call.session, name, after)
    old = operations.find_version(call.session, name, before or str(new.parent or max(1, new.version - 1)))
    call.session.commit()
    found = diff_versions(call.ground, old, new, limit, offset)
    audit.record_daily(call.ground.database, call.actor, "dataset_read", old.reference, new.reference)
    call.meta = {"total": found.added + found.removed + found.changed, "limit": limit, "offset": offset}
    return DifferenceView(
        before=old.reference,
        after=new.reference,
        added=found.added,
        removed=found.removed,
        changed=found.changed,
        rows=[RowChangeView.model_validate(row) for row in found.rows],
    )


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
    found = operations.find_version(call.session, name, version)
    call.meta = {"total": found.rows.get(split, 0) if split else found.total_samples, "limit": limit, "offset": offset}
    shown = [
        RowView(row_id=row.row_id, split=row.split, line=row.line, row=row.values)
        for row in operations.rows_of(call.ground, found, split, limit, offset)
    ]
    audit.record_daily(call.ground.database, call.actor, "dataset_read", found.reference)
    return shown


@route("datasets.quarantined", "GET", "/datasets/{name}/quarantined", permission="datasets:create")
def quarantined(
    call: Call, name: str, version: str | None = Query(None, max_length=40), limit: Limit = 20, offset: Offset = 0
) -> list[BadLine]:
    """Show rows that were set aside when a version was imported: line, reason and the beginning of the text."""
    found = operations.find_version(call.session, name, version)
    call.meta = {"total": found.quarantined, "limit": limit, "offset": offset}
    shown = [*operations.quarantined_rows(call.ground, found, limit, offset)]
    audit.record_daily(call.ground.database, call.actor, "dataset_read", found.reference)
    return shown


@route("datasets.sanitizers", "GET", "/sanitizers", permission="datasets:read")
def list_sanitizers(call: Call) -> list[SanitizerView]:
    """List the sanitising steps that a recipe may name, with their parameters."""
    return operations.list_sanitizers()


@route("datasets.provenance", "GET", "/datasets/{name}/provenance", permission="datasets:read")
def provenance(call: Call, name: str, version: str | None = Query(None, max_length=40)) -> Provenance:
    """Show where a version came from and what was done to it."""
    found = operations.find_version(call.session, name, version)
    return provenance_of(call.session, found)


@route("datasets.card", "GET", "/datasets/{name}/card", permission="datasets:read")
def card(call: Call, name: str, version: str | None = Query(None, max_length=40)) -> CardView:
    """Show the dataset card of a version: Markdown with the head that the Hugging Face Hub reads."""
    found = operations.find_version(call.session, name, version)
    text = card_of(provenance_of(call.session, found), found.shape, found.rows, found.dataset.description)
    return CardView(reference=found.reference, markdown=text)


@route("datasets.croissant", "POST", "/datasets/{name}/croissant", permission="datasets:read")
def croissant(call: Call, name: str, version: str | None = Query(None, max_length=40)) -> Response:
    """Write a version out as Croissant, its rows in a Parquet file: the answer is a ZIP archive."""
    found = operations.find_version(call.session, name, version)
    record = provenance_of(call.session, found)
    audit.record(call.session, call.actor, "dataset_exported", found.reference, format="croissant", digest=found.digest)
    call.session.commit()
    return StreamingResponse(_pieces(zip_croissant(call.ground, found, record)), media_type="application/zip")


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(1 << 20):
            yield piece


def _start(call: Call, verb: str, name: str, payload: dict[str, Any], **details: Any) -> JobStarted:
    job = enqueue_job(call.session, call.actor, f"datasets.{verb}", payload, f"datasets/{name}")
    audit.record(call.session, call.actor, f"dataset_{verb}_started", f"datasets/{name}", job=job.id, **details)
    return JobStarted(job_id=job.id)
