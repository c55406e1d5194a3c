"""Import an uploaded file as a new version: built on the disk first, then made visible in one transaction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc

from tunery import audit
from tunery.datasets.build import Built, build_version
from tunery.datasets.formats import guess_format
from tunery.datasets.quarantine import Quarantine
from tunery.datasets.references import TenantSources
from tunery.datasets.tables import Dataset, DatasetVersion
from tunery.datasets.views import DatasetImport
from tunery.kit.clock import now
from tunery.kit.digests import sha256_json
from tunery.kit.ids import new_id
from tunery.kit.references import check_name
from tunery.lineage.operations import Node, link
from tunery.platform.blobs.references import hold_files
from tunery.platform.db import TenantSession
from tunery.platform.events import emit
from tunery.platform.housekeeping import scratch_folder
from tunery.platform.jobs import JobContext

__all__ = ["execute_import"]

_SET_ASIDE = "quarantine.jsonl"


def execute_import(context: JobContext, wish: DatasetImport) -> DatasetVersion:
    """Import a file and return the version. The same file and options again return the version that stands.

    Raises:
        NotFound: The file was never uploaded. RowInvalid, FormatInvalid, TooLarge, InvalidInput: nothing is visible.
        Cancelled: repeating it goes on.
    """
    import_id = sha256_json(
        {"file": wish.file_digest, "format": _format(wish), "options": wish.options.model_dump(mode="json")}
    )[:32]
    with context.session() as session:
        dataset = _dataset(session, context, wish)
        if (standing := _version(session, dataset, import_id)) is not None:
            return standing
    # A worker that was taken over may still be at it, so each attempt has a folder of its own.
    with scratch_folder(context.ground.settings, "import") as scratch:
        built = _build(context, wish, dataset, import_id, scratch)
        kept = _keep_quarantine(context, built, scratch / _SET_ASIDE)
        with context.session() as session:
            dataset = _dataset(session, context, wish)
            row = _version(session, dataset, import_id)
            return row or _record(session, context, dataset, wish, built, import_id, kept)


def _build(context: JobContext, wish: DatasetImport, dataset: Dataset, import_id: str, scratch: Path) -> Built:
    ground = context.ground
    ground.blobs.checkout(context.tenant_id, wish.file_digest, scratch / "source")

    def watch(stage: str, rows: int) -> None:
        context.check_cancelled()
        context.progress({"type": "importing", "stage": stage, "rows": rows}, always=False)

    with (scratch / _SET_ASIDE).open("wb") as file:
        return build_version(
            scratch / "source",
            _format(wish),
            wish.options,
            table=ground.settings.folder("datasets", context.tenant_id, dataset.id),
            import_id=import_id,
            scratch=scratch,
            quarantine=Quarantine(wish.options.on_error, file),
            max_row_bytes=ground.settings.max_row_bytes,
            watch=watch,
            sources=TenantSources(ground, context.tenant_id, scratch),
        )


def _format(wish: DatasetImport) -> str:
    return wish.options.format or guess_format(wish.file_name)


def _keep_quarantine(context: JobContext, built: Built, path: Path) -> str | None:
    if not built.quarantined:
        return None
    return context.ground.blobs.put(context.tenant_id, path, "application/x-ndjson").digest


def _record(
    session: TenantSession,
    context: JobContext,
    dataset: Dataset,
    wish: DatasetImport,
    built: Built,
    import_id: str,
    quarantine_digest: str | None,
) -> DatasetVersion:
    hold_files(session, [wish.file_digest, *([quarantine_digest] if quarantine_digest else [])])
    session.refresh(dataset, with_for_update=True)  # two imports of one dataset take their numbers in turn
    dataset.current_version += 1
    row = DatasetVersion(
        id=new_id(),
        dataset=dataset,
        version=dataset.current_version,
        import_id=import_id,
        delta_version=built.written.number,
        digest=built.written.digest,
        shape=built.shape,
        rows=built.written.rows,
        total_samples=sum(built.written.rows.values()),
        size_bytes=built.written.size_bytes,
        source_digest=wish.file_digest,
        quarantine_digest=quarantine_digest,
        quarantined=built.quarantined,
        options=wish.options.model_dump(mode="json"),
        provenance=_provenance(wish, built),
        created_by=context.actor.name,
    )
    session.add(row)
    session.flush()
    source = Node("source", wish.file_digest, wish.file_name, wish.file_digest)
    link(session, source, Node("dataset_version", row.id, row.reference, row.digest), "derived_from")
    audit.record(session, context.actor, "dataset_imported", row.reference, digest=row.digest, rows=row.rows)
    emit(session, context.actor, "datasets.imported", f"datasets/{row.reference}", {"version_id": row.id})
    return row


def _provenance(wish: DatasetImport, built: Built) -> dict[str, Any]:
    """Build R1's record. What no detector has looked at is unknown (null), never claimed."""
    return {
        "sources": [
            {
                "type": "file",
                "url": wish.url,
                "name": wish.file_name,
                "digest": wish.file_digest,
                "description": wish.description,
                "sampleCount": built.read,
                "collectedAt": now().isoformat(),
            }
        ],
        "preprocessingSteps": [step.model_dump(mode="json", by_alias=True) for step in built.steps],
        "qualityMetrics": {
            "read": built.read,
            "quarantined": built.quarantined,
            "columns": built.columns,
            "nearDuplicateGroups": built.split.groups,
            "largestGroup": built.split.largest_group,
            "similarity": built.split.similarity,
            "leakingRows": built.split.leaking_rows,
        },
        "compliance": {
            "piiDetected": None,
            "piiRemoved": None,
            "gdprCompliant": None,
            "ccpaCompliant": None,
            "certifications": [],
        },
        "licensing": {"license": wish.license, "commercialUse": None, "derivativeWorks": None},
    }


def _dataset(session: TenantSession, context: JobContext, wish: DatasetImport) -> Dataset:
    """Return the dataset; a new one is seen by nobody else before it has a version."""
    statement = sa.select(Dataset).where(Dataset.name == check_name(wish.name))
    row = session.scalars(statement).one_or_none()
    if row is not None:
        return row
    row = Dataset(id=new_id(), name=wish.name, description=wish.description, created_by=context.actor.name)
    try:
        with session.begin_nested():
            session.add(row)
    except sa.exc.IntegrityError:  # another import made it a moment ago
        return session.scalars(statement).one()
    return row


def _version(session: TenantSession, dataset: Dataset, import_id: str) -> DatasetVersion | None:
    statement = sa.select(DatasetVersion).where(
        DatasetVersion.dataset_id == dataset.id, DatasetVersion.import_id == import_id
    )
    return session.scalars(statement).one_or_none()
