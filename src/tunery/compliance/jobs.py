"""The durable job that validates a large version. Killed anywhere, it reads the rows anew and writes one report."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from tunery.compliance.schemas import ValidationWish
from tunery.compliance.tables import ComplianceReport
from tunery.compliance.validating import check_standards, record_validation, scan_version
from tunery.datasets.operations import resolve_version
from tunery.platform.jobs import JobContext, job

__all__ = ["validate_dataset"]


@job("compliance.validate")
def validate_dataset(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Look at every row of the version that the payload names, and keep the report."""
    wish = ValidationWish.model_validate(payload["wish"])
    own = sa.select(ComplianceReport).where(ComplianceReport.job_id == context.job_id)
    with context.session() as session:
        version = resolve_version(session, payload["version_id"])
        done = session.scalars(own).one_or_none()

    def watch(rows: int) -> None:
        context.check_cancelled()
        context.progress({"type": "scanned", "done": rows, "total": version.total_samples}, always=False)

    if done is None:
        scan = scan_version(context.ground, version, wish, watch)
        with context.session() as session:
            done = session.scalars(own).one_or_none() or record_validation(
                session,
                context.ground,
                context.actor,
                version.id,
                scan,
                check_standards(wish.standards),
                context.job_id,
            )
    return {"report_id": done.id, "compliant": done.compliant, "results": done.results}
