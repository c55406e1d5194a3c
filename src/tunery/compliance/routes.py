"""Routes of compliance."""

from __future__ import annotations

from fastapi import Query

from tunery import audit
from tunery.compliance import attesting, flags, reporting, validating
from tunery.compliance.schemas import (
    AttestationView,
    AttestationWish,
    ReportSummary,
    ReportView,
    RuleView,
    ValidationView,
    ValidationWish,
    Verification,
)
from tunery.platform.http import Call, Limit, Offset, route
from tunery.platform.jobs import enqueue_job

__all__ = ["flags"]

_DATASET = Query(None, max_length=200, description="Dataset version, `name` or `name:2`; none: of all.")


@route("compliance.rules", "GET", "/compliance/rules", permission="compliance:read")
def rules(call: Call) -> list[RuleView]:
    """List the rules, by id."""
    return validating.list_rules()


@route("compliance.validate", "POST", "/compliance/validate", permission="compliance:create")
def validate(call: Call, body: ValidationWish) -> ValidationView:
    """Look at a dataset version by the rules of standards; a job does it where the version is large."""
    with call.ground.database.session(call.actor.tenant_id, read_only=True) as session:
        version = validating.version_of(session, body)
    if not validating.is_small(version, body):
        payload = {"version_id": version.id, "wish": body.model_dump(mode="json", by_alias=True)}
        job = enqueue_job(call.session, call.actor, "compliance.validate", payload, f"datasets/{version.reference}")
        audit.record(call.session, call.actor, "compliance_validation_started", version.reference, job=job.id)
        return ValidationView(status="running", job_id=job.id)
    scan = validating.scan_version(call.ground, version, body)
    standards = validating.check_standards(body.standards)
    row = validating.record_validation(call.session, call.ground, call.actor, version.id, scan, standards)
    report = reporting.report_view(call.session, row)
    return ValidationView(
        status="done",
        compliant=report.compliant,
        violations=report.violations,
        warnings=report.warnings,
        summary=report.summary,
        rules=report.rules,
        report_id=report.id,
    )


@route("compliance.reports", "GET", "/compliance/reports", permission="compliance:read")
def reports(
    call: Call,
    dataset: str | None = Query(None, max_length=200, description="Dataset by id or name; none: of all."),
    limit: Limit = 50,
    offset: Offset = 0,
) -> list[ReportSummary]:
    """List reports, the newest first."""
    found = reporting.list_reports(call.session, dataset, limit, offset)
    return call.page(found, lambda row: reporting.report_summary(call.session, row))


@route("compliance.report", "GET", "/compliance/reports/{report_id}", permission="compliance:read")
def report(call: Call, report_id: str) -> ReportView:
    """Show a report with every rule's outcome and evidence, and whether it is stale."""
    return reporting.report_view(call.session, reporting.get_report(call.session, report_id))


@route("compliance.verify", "POST", "/compliance/reports/{report_id}/verify", permission="compliance:read")
def verify(call: Call, report_id: str) -> Verification:
    """Check a report's signature, and whether it is stale."""
    return reporting.verify_report(call.session, report_id)


@route("compliance.attest", "POST", "/compliance/attestations", permission="compliance:attest", status=201)
def attest(call: Call, body: AttestationWish) -> AttestationView:
    """Write down a person's word on a rule that software cannot decide."""
    return attesting.attestation_view(attesting.attest(call.session, call.ground, call.actor, body))


@route("compliance.attestations", "GET", "/compliance/attestations", permission="compliance:read")
def attestations(
    call: Call, dataset: str | None = _DATASET, limit: Limit = 50, offset: Offset = 0
) -> list[AttestationView]:
    """List attestations, the newest first."""
    found = attesting.list_attestations(call.session, dataset, limit, offset)
    return call.page(found, attesting.attestation_view)


@route("compliance.withdraw", "DELETE", "/compliance/attestations/{attestation_id}", permission="compliance:attest")
def withdraw(call: Call, attestation_id: str) -> AttestationView:
    """Take a person's word back; reports that rest on it become stale."""
    return attesting.attestation_view(attesting.withdraw_attestation(call.session, call.actor, attestation_id))
