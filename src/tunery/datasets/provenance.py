"""The provenance record of a version: R1's, every field (decision 0010).

A version's row keeps what only an import knows: its sources, what each step did, what was measured, what was found of
persons. The rest follows from it whenever somebody asks. What nobody looked at is null, never claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from tunery.datasets.build import Built
from tunery.datasets.licensing.verdicts import licence_verdict
from tunery.datasets.pii.reports import pii_flags
from tunery.datasets.tables import DatasetVersion
from tunery.datasets.views import DatasetImport, Provenance
from tunery.kit.clock import now
from tunery.platform.db import TenantSession
from tunery.plugins import Registry

__all__ = ["PROVENANCE_FACTS", "provenance_of", "record_of_import"]

PROVENANCE_FACTS: Registry[Callable[[TenantSession, DatasetVersion], Mapping[str, Any]]] = Registry("provenance_facts")
"""Who knows more of a version, by any of ``gdprCompliant``, ``ccpaCompliant``, ``certifications`` and
``lastValidatedAt``. A higher room registers it; without one these are null, and no certification is named."""

_R1_NAMES = {"deduplicate": "deduplication", "near_deduplicate": "deduplication", "redact_pii": "pii_removal"}


def record_of_import(
    wish: DatasetImport, built: Built, parent: DatasetVersion | None, details: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what a version's row keeps, as plain JSON.

    Args:
        wish: What was imported.
        built: The rows that came of it.
        parent: The version that they came to.
        details: What else is known of the source, such as a commit.
    """
    earlier = parent.provenance if parent else {"sources": [], "preprocessingSteps": []}
    imported_at = now()
    source = {
        "type": wish.source_type or "file",
        "url": wish.url,
        "name": wish.file_name,
        "description": wish.description,
        "license": wish.license,
        "digest": wish.file_digest,
        "sampleCount": built.read,
        "collectedAt": (wish.collected_at or imported_at).isoformat(),
        "importedAt": imported_at.isoformat(),
        "details": dict(details or {}),
    }
    return {
        "sources": [*earlier["sources"], source],
        "preprocessingSteps": [
            *earlier["preprocessingSteps"],
            *(step.model_dump(mode="json", by_alias=True) for step in built.steps),
        ],
        "qualityMetrics": {
            "read": built.read,
            "quarantined": built.quarantined,
            "rowsOfErasedSubjects": built.passed_over,
            "columns": built.columns,
            "nearDuplicateGroups": built.split.groups,
            "largestGroup": built.split.largest_group,
            "similarity": built.split.similarity,
            "leakingRows": built.split.leaking_rows,
        },
        "compliance": pii_flags(built.steps, parent.provenance["compliance"] if parent else None),
    }


def provenance_of(session: TenantSession, version: DatasetVersion) -> Provenance:
    """Return the whole record of a version."""
    kept = version.provenance
    told: dict[str, Any] = {"gdprCompliant": None, "ccpaCompliant": None, "certifications": [], "lastValidatedAt": None}
    for _, facts in PROVENANCE_FACTS:
        told |= facts(session, version)
    validated_at = told.pop("lastValidatedAt")
    return Provenance(
        id=version.id,
        tenant_id=version.tenant_id,
        dataset_id=version.dataset_id,
        dataset_name=version.dataset.name,
        dataset_version=str(version.version),
        sources=kept["sources"],
        collection_date=max(datetime.fromisoformat(source["collectedAt"]) for source in kept["sources"]),
        preprocessing_steps=[
            step | {"step": _R1_NAMES.get(step["step"], step["step"]), "name": step["step"]}
            for step in kept["preprocessingSteps"]
        ],
        quality_metrics=kept["qualityMetrics"],
        compliance=kept["compliance"] | told,
        licensing=licence_verdict(kept["sources"]),
        total_samples=version.total_samples,
        total_tokens=version.total_tokens,
        checksum=version.digest,
        storage_path=f"{version.dataset_id}/_delta_log/{version.delta_version:020}.json",
        storage_size=version.size_bytes,
        created_at=version.created_at,
        updated_at=version.updated_at,
        last_validated_at=validated_at,
    )
