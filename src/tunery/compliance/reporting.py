"""Reports: sealed when made, stale when what they speak of has changed."""

from __future__ import annotations

import base64
import json
from typing import Any

import sqlalchemy as sa

from tunery import audit
from tunery.compliance.facts import models_of, runs_on
from tunery.compliance.schemas import ReportSummary, ReportView, Verification
from tunery.compliance.tables import Attestation, ComplianceReport
from tunery.datasets.operations import get_dataset, newest_version
from tunery.datasets.tables import DatasetVersion
from tunery.errors import SignatureInvalid
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.platform.db import Page, TenantSession, page_of, row_of
from tunery.platform.events import emit
from tunery.platform.ground import Ground
from tunery.registry.operations import public_key, signing_key
from tunery.registry.signing import open_statement, seal_statement

__all__ = [
    "REPORT_TYPE",
    "get_report",
    "keep_report",
    "lapsed",
    "list_reports",
    "report_summary",
    "report_view",
    "staleness",
    "verify_report",
]

OF_MODELS = frozenset({"AI-ACT", "GDPR", "LICENCE"})
"""Standards that ask about the models that came of the rows."""

REPORT_TYPE = "urn:tunery:compliance-report:1"


def keep_report(
    session: TenantSession,
    ground: Ground,
    actor: Actor,
    version: DatasetVersion,
    predicate: dict[str, Any],
    job_id: str | None = None,
) -> ComplianceReport:
    """Seal what was found and keep it."""
    key = signing_key(session, ground)
    said = [one["attestation"] for each in predicate["rules"] for one in each["evidence"].get("attestations", [])]
    row = ComplianceReport(
        dataset_id=version.dataset_id,
        dataset_version_id=version.id,
        dataset_reference=version.reference,
        dataset_digest=version.digest,
        results=predicate["results"],
        compliant=predicate["compliant"],
        attestations=sorted({*said}),
        envelope=seal_statement({version.reference: version.digest}, REPORT_TYPE, predicate, key),
        job_id=job_id,
        created_by=actor.name,
    )
    session.add(row)
    session.flush()
    told: dict[str, Any] = {"report": row.id, "digest": version.digest, "results": row.results}
    audit.record(session, actor, "compliance_validated", version.reference, **told)
    emit(session, actor, "compliance.validated", f"datasets/{version.reference}", told | {"version_id": version.id})
    return row


def get_report(session: TenantSession, report_id: str) -> ComplianceReport:
    """Return a report. Raises: NotFound."""
    return row_of(session, ComplianceReport, report_id, "report", "`tunery compliance reports` lists them")


def list_reports(
    session: TenantSession, dataset: str | None = None, limit: int = 50, offset: int = 0
) -> Page[ComplianceReport]:
    """Return reports, the newest first; of one dataset where it is named. Raises: NotFound."""
    statement = sa.select(ComplianceReport)
    if dataset is not None:
        statement = statement.where(ComplianceReport.dataset_id == get_dataset(session, dataset).id)
    return page_of(session, statement.order_by(ComplianceReport.id.desc()), limit, offset)


def staleness(session: TenantSession, row: ComplianceReport) -> list[str]:
    """Return why a report no longer speaks of what stands: the dataset changed, or an attestation is over."""
    version = session.get_one(DatasetVersion, row.dataset_version_id)
    newest = newest_version(session, version.dataset)
    reasons = lapsed(session, row)
    if version.status == "erased":
        reasons.append(f"{version.reference} was erased")
    if newest.id != version.id and (newest.digest, newest.provenance["sources"]) != (
        row.dataset_digest,
        version.provenance["sources"],
    ):
        reasons.append(f"the dataset has changed since: {newest.reference} has the digest {newest.digest[:12]}")
    return reasons


def lapsed(session: TenantSession, row: ComplianceReport) -> list[str]:
    """Return why a report no longer holds: attestations that are over, for some standards new trainings, new models."""
    over = (Attestation.withdrawn_at.is_not(None)) | (Attestation.until <= now())
    statement = sa.select(Attestation).where(Attestation.id.in_(row.attestations), over)
    reasons = [f"the attestation of {one.rule} by {one.created_by} is over" for one in session.scalars(statement)]
    if OF_MODELS & row.results.keys():
        told = _predicate(row)  # by ids: what was committed while facts were gathered has an earlier time than they
        runs = runs_on(session, session.get_one(DatasetVersion, row.dataset_version_id))
        reasons += [f"the training {run.name} has ended since" for run in runs if run.id not in told["runs"]]
        models = [model for model in models_of(session, runs) if model.id not in told["models"]]
        reasons += [f"the model {model.reference} was registered since" for model in models]
    return reasons


def report_summary(session: TenantSession, row: ComplianceReport) -> ReportSummary:
    """Return a report as lists show it."""
    return ReportSummary(**_told(session, row))


def report_view(session: TenantSession, row: ComplianceReport) -> ReportView:
    """Return a report with everything that was found."""
    payload = _predicate(row)
    found = {name: payload[name] for name in ("summary", "violations", "warnings", "rules", "scan")}
    return ReportView(**_told(session, row), **found, envelope=row.envelope)


def verify_report(session: TenantSession, report_id: str) -> Verification:
    """Check that a report is the tenant's own and untouched. Raises: NotFound, SignatureInvalid."""
    row = get_report(session, report_id)
    key_id = row.envelope["signatures"][0]["keyid"]
    key = public_key(session, key_id)
    if key is None:
        raise SignatureInvalid("the report is signed by a key that is unknown or revoked")
    statement = open_statement(row.envelope, key.public_key)
    subject = {"name": row.dataset_reference, "digest": {"sha256": row.dataset_digest}}
    said = statement["predicate"]
    if (statement["predicateType"], statement["subject"], said.get("results"), said.get("compliant")) != (
        REPORT_TYPE,
        [subject],
        row.results,
        row.compliant,
    ):
        raise SignatureInvalid("the signature is of another report than this one")
    reasons = staleness(session, row)
    return Verification(
        report_id=row.id,
        dataset_reference=row.dataset_reference,
        dataset_digest=row.dataset_digest,
        key_id=key_id,
        stale=bool(reasons),
        stale_reasons=reasons,
    )


def _predicate(row: ComplianceReport) -> dict[str, Any]:
    predicate: dict[str, Any] = json.loads(base64.b64decode(row.envelope["payload"]))["predicate"]
    return predicate


def _told(session: TenantSession, row: ComplianceReport) -> dict[str, Any]:
    reasons = staleness(session, row)
    own = {name: getattr(row, name) for name in ReportSummary.model_fields if not name.startswith("stale")}
    return own | {"stale": bool(reasons), "stale_reasons": reasons}
