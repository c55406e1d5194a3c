"""R1's flags on datasets and models, read from the newest report that still holds; nobody can type them in."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from tunery.compliance.reporting import lapsed
from tunery.compliance.tables import ComplianceReport
from tunery.datasets.provenance import PROVENANCE_FACTS
from tunery.datasets.tables import DatasetVersion
from tunery.platform.db import TenantSession
from tunery.registry.facts import VERSION_FACTS
from tunery.registry.tables import ModelVersion
from tunery.training.tables import TrainingRun

__all__ = ["facts_of_model", "facts_of_version", "results_of"]

_NAMES = {"GDPR": "gdprCompliant", "CCPA": "ccpaCompliant", "HIPAA": "hipaaCompliant"}


def results_of(session: TenantSession, version_id: str) -> tuple[dict[str, bool | None], Any]:
    """Return by standard what the newest report says that covers it, and when the version was last looked at.

    A report whose attestations are over says nothing for good any more; what it found against the data, it still says.
    """
    statement = sa.select(ComplianceReport).where(ComplianceReport.dataset_version_id == version_id)
    results: dict[str, bool | None] = {}
    looked_at = None
    for row in session.scalars(statement.order_by(ComplianceReport.id.desc())):
        looked_at = looked_at or row.created_at
        over = bool(lapsed(session, row)) if set(row.results) - set(results) else False
        for standard, result in row.results.items():
            results.setdefault(standard, None if over and result else result)
    return results, looked_at


@PROVENANCE_FACTS.register("compliance")
def facts_of_version(session: TenantSession, version: DatasetVersion) -> dict[str, Any]:
    """Return R1's flags of a dataset version."""
    results, looked_at = results_of(session, version.id)
    return {
        "gdprCompliant": results.get("GDPR"),
        "ccpaCompliant": results.get("CCPA"),
        "certifications": sorted(standard for standard, result in results.items() if result),
        "lastValidatedAt": looked_at,
    }


@VERSION_FACTS.register("compliance")
def facts_of_model(session: TenantSession, version: ModelVersion) -> dict[str, Any]:
    """Return R1's flags of a model version: what holds for every dataset version behind it, back to the base."""
    behind = _datasets_behind(session, version)
    found = [results_of(session, version_id)[0] for version_id in behind]
    standards = sorted({standard for results in found for standard in results} | set(_NAMES))
    flags = {standard: _all([results.get(standard) for results in found]) for standard in standards}
    return {
        "compliance_flags": {_NAMES.get(standard, standard): flag for standard, flag in flags.items()},
        "certifications": [standard for standard in standards if flags[standard]],
    }


def _datasets_behind(session: TenantSession, version: ModelVersion | None) -> set[str]:
    behind: set[str] = set()
    while version is not None:
        run = session.get(TrainingRun, version.run_id) if version.run_id else None
        behind |= {run.dataset_version_id} if run else set()
        above = run.base_version_id if run else version.base_version_id
        version = session.get(ModelVersion, above) if above else None
    return behind


def _all(flags: list[bool | None]) -> bool | None:
    if not flags or any(flag is None for flag in flags):
        return False if False in flags else None
    return all(flags)
