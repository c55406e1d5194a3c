"""Shapes of compliance."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from tunery.platform.http import Camel

__all__ = [
    "AttestationView",
    "AttestationWish",
    "ReportSummary",
    "ReportView",
    "RuleOutcome",
    "RuleView",
    "ValidationView",
    "ValidationWish",
    "Verification",
]


class ValidationWish(Camel):
    """A wish to look at a dataset version (R1)."""

    dataset_id: str = Field(max_length=200, description="Dataset by id or name; its newest version counts.")
    version: str | None = Field(None, max_length=100, description="Number or tag of another version.")
    standards: list[str] = Field(
        default_factory=list, max_length=50, description="Such as `GDPR`, `HIPAA`; none: all. `rules` lists them."
    )
    names: int = Field(
        0, ge=0, le=1_000_000, description="Rows, about, in which names and places are looked for; slow, needs `pii`."
    )
    quasi_identifiers: list[str] = Field(
        default_factory=list, max_length=20, description="Columns that together may tell who somebody is."
    )
    formats: dict[str, str] = Field(
        default_factory=dict, max_length=50, description="Your own numbers by kind, such as `MRN`, as RE2 patterns."
    )


class RuleOutcome(Camel):
    """What one rule answered."""

    rule: str
    standard: str
    title: str
    who: str = Field(description="A: the tool; A+H: the tool finds, a person decides; H: a person.")
    status: Literal["pass", "fail", "review", "unknown", "n/a"]
    reason: str
    evidence: dict[str, Any] = Field(description="Counts, masked samples, rows looked at, detectors, attestations.")
    next: list[str] = Field(
        default_factory=list,
        description="Command lines, any of which closes an open question; capitals are to be filled in.",
    )
    decides: bool = Field(description="Whether it counts for `compliant`.")


class ReportSummary(Camel):
    """A report in a list."""

    id: str
    dataset_id: str
    dataset_reference: str
    dataset_digest: str = Field(description="The state of the dataset that was looked at.")
    results: dict[str, bool | None] = Field(description="By standard: true, false, or none while questions are open.")
    compliant: bool = Field(description="Whether every applicable rule of the standards asked for passed.")
    stale: bool = Field(description="Whether it no longer speaks of what stands.")
    stale_reasons: list[str]
    created_by: str
    created_at: datetime


class ReportView(ReportSummary):
    """A report."""

    summary: str
    violations: list[str]
    warnings: list[str]
    rules: list[RuleOutcome]
    scan: dict[str, Any] = Field(description="Rows looked at, and the detectors that looked.")
    envelope: dict[str, Any] = Field(description="DSSE envelope of an in-toto statement, signed with Ed25519.")


class ValidationView(Camel):
    """The answer to a validation (R1); of a large version only the job, which writes the report."""

    status: Literal["done", "running"]
    compliant: bool | None = Field(None, description="True only if every applicable rule passed; none: not known yet.")
    violations: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    summary: str = ""
    rules: list[RuleOutcome] = Field(default_factory=list)
    report_id: str | None = None
    job_id: str | None = None


class Verification(Camel):
    """The outcome of a verification."""

    report_id: str
    dataset_reference: str
    dataset_digest: str
    key_id: str
    stale: bool
    stale_reasons: list[str]
    verified: bool = True


class RuleView(Camel):
    """A rule."""

    rule: str
    standard: str
    title: str
    who: str
    attestable: bool = Field(description="Whether a person's word can decide it.")
    needs_document: bool
    needs_until: bool
    begins_with: list[str] = Field(description="What a statement must begin with; empty: anything.")


class AttestationWish(Camel):
    """A person's word on a rule."""

    rule: str = Field(max_length=60, description="Id of the rule, such as `GDPR-6-BASIS`.")
    dataset: str | None = Field(None, max_length=200, description="Dataset version: `name`, `name:2` or its id.")
    source_digest: str | None = Field(None, description="SHA-256 of a source file instead: holds wherever it went.")
    statement: str = Field(min_length=1, max_length=10_000, description="What is attested.")
    document_digest: str | None = Field(None, description="SHA-256 of an uploaded document.")
    until: datetime | None = Field(None, description="When it ends; none: when it is withdrawn.")


class AttestationView(Camel):
    """A person's word on a rule."""

    id: str
    rule: str
    dataset_reference: str | None
    source_digest: str | None
    statement: str
    document_digest: str | None
    until: datetime | None
    counts: bool = Field(description="Whether it is neither over nor withdrawn.")
    created_by: str
    created_at: datetime
    withdrawn_by: str | None
    withdrawn_at: datetime | None
