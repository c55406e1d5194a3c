"""Compliance: what a dataset holds, what people attest of it, and signed reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from tunery.client.files import Files
from tunery.client.nouns import Noun, Page, view
from tunery.client.transport import Transport, path_of
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

__all__ = ["Compliance"]


class Compliance(Noun):
    """Looks at datasets by the rules of standards. Nothing here says "compliant"; it says what is open."""

    def __init__(self, transport: Transport, files: Files) -> None:
        super().__init__(transport)
        self._files = files

    def rules(self) -> Page[RuleView]:
        """List the rules, by id."""
        return self._page(RuleView, path_of("compliance", "rules"))

    def validate(
        self,
        dataset: str,
        standards: Sequence[str] = (),
        *,
        version: str | None = None,
        names: int = 0,
        quasi_identifiers: Sequence[str] = (),
        formats: Mapping[str, str] | None = None,
    ) -> ValidationView:
        """Look at a dataset version; of a large one the answer names the job that writes the report.

        Args:
            dataset: Dataset by id or name.
            standards: Such as ``GDPR``; none: all.
            version: Number or tag of another version than the newest.
            names: Rows, about, in which names and places are looked for.
            quasi_identifiers: Columns that together may tell who somebody is.
            formats: Your own numbers by kind, such as ``{"MRN": "[0-9]{8}"}``.
        """
        wish = ValidationWish(
            dataset_id=dataset,
            version=version,
            standards=[*standards],
            names=names,
            quasi_identifiers=[*quasi_identifiers],
            formats=dict(formats or {}),
        )
        return view(ValidationView, self._send("POST", path_of("compliance", "validate"), wish))

    def reports(self, dataset: str | None = None, *, limit: int = 50, offset: int = 0) -> Page[ReportSummary]:
        """List reports, the newest first; of one dataset where it is named."""
        return self._page(ReportSummary, path_of("compliance", "reports"), dataset=dataset, limit=limit, offset=offset)

    def report(self, report_id: str) -> ReportView:
        """Show a report with every rule's outcome and evidence, and whether it is stale."""
        return view(ReportView, self._get(path_of("compliance", "reports", report_id)))

    def verify(self, report_id: str) -> Verification:
        """Check a report's signature, and whether it is stale. Raises: SignatureInvalid."""
        return view(
            Verification, self._send("POST", path_of("compliance", "reports", report_id, "verify"), keyed=False)
        )

    def attest(
        self,
        rule: str,
        statement: str,
        *,
        dataset: str | None = None,
        source_digest: str | None = None,
        document: Path | str | None = None,
        until: datetime | None = None,
    ) -> AttestationView:
        """Write down a person's word on a rule that software cannot decide.

        Args:
            rule: Id of the rule.
            statement: What is attested.
            dataset: Dataset version, ``name`` or ``name:2``.
            source_digest: SHA-256 of a source file instead; it counts wherever the file went.
            document: A file that shows it; uploaded.
            until: When it ends; none: when it is withdrawn.
        """
        wish = AttestationWish(
            rule=rule,
            statement=statement,
            dataset=dataset,
            source_digest=source_digest,
            document_digest=self._files.upload(Path(document)).digest if document else None,
            until=until,
        )
        return view(AttestationView, self._send("POST", path_of("compliance", "attestations"), wish))

    def attestations(self, dataset: str | None = None, *, limit: int = 50, offset: int = 0) -> Page[AttestationView]:
        """List attestations, the newest first; of one dataset version and its sources where it is named."""
        path = path_of("compliance", "attestations")
        return self._page(AttestationView, path, dataset=dataset, limit=limit, offset=offset)

    def withdraw(self, attestation_id: str) -> AttestationView:
        """Take a person's word back; reports that rest on it become stale."""
        return view(AttestationView, self._send("DELETE", path_of("compliance", "attestations", attestation_id)))
