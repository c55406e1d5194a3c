"""What a rule is, what it is asked about, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from tunery.compliance.closing import attest_line, validate_line
from tunery.plugins import Registry

__all__ = ["GENERAL", "RULES", "Attested", "Case", "Check", "Outcome", "Rule", "Scan", "Status", "Who", "rule"]

Status = Literal["pass", "fail", "review", "unknown", "n/a"]
Who = Literal["A", "A+H", "H"]
GENERAL = ("LICENCE", "QUALITY", "SECRETS")
"""Standards that hold for any training data; where nobody asked for them they warn and do not decide."""


@dataclass(frozen=True)
class Outcome:
    """What a rule answers.

    Attributes:
        status: ``review``: a person has to decide. ``unknown``: it cannot be answered here.
        reason: One sentence; what was found, or what is missing.
        evidence: What it rests on, as plain JSON; never a value of a row.
        next: Command lines, any of which closes the question; a rule adds how it is attested by itself.
        document: A person's word decides it only with a document.
    """

    status: Status
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)
    next: Sequence[str] = ()
    document: bool = False


@dataclass(frozen=True)
class Attested:
    """What a person attested for a rule; it counts as long as ``until`` has not passed."""

    id: str
    rule: str
    version_id: str | None
    source_digest: str | None
    statement: str
    document_digest: str | None
    by: str
    at: datetime
    until: datetime | None

    def as_evidence(self) -> dict[str, Any]:
        """Return it as a report names it."""
        return {
            "attestation": self.id,
            "statement": self.statement,
            "document": self.document_digest,
            "by": self.by,
            "at": self.at.isoformat(),
            "until": self.until.isoformat() if self.until else None,
        }


@dataclass(frozen=True)
class Scan:
    """What one reading of all rows found.

    Attributes:
        total: Rows of the version.
        scanned: Rows that were read.
        counts: Findings by kind.
        rows: Rows with a finding, by kind.
        samples: By kind, a few: row, path and masked text.
        detectors: By name: version, kinds, measured numbers, rows looked at.
        columns: By top-level column: rows that have it, different values (none: more than were counted), whether
            its values look like codes, and whether there are numbers in it (those that a model learns from aside).
        duplicates: Rows that repeat an earlier one; none: not counted to the end.
        leaks: Held-out rows whose input stands in train, too; none: not counted to the end.
        named: Ids of some of these rows, by ``duplicates`` and ``leaks``, and of some with a finding, by its kind.
        quasi: The declared quasi-identifiers and the sizes of their groups; empty: none are declared.
    """

    total: int
    scanned: int
    counts: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    detectors: dict[str, dict[str, Any]] = field(default_factory=dict)
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    duplicates: int | None = 0
    leaks: int | None = 0
    named: dict[str, list[str]] = field(default_factory=dict)
    quasi: dict[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether there are rows and all of them were read."""
        return 0 < self.total <= self.scanned


@dataclass(frozen=True)
class Case:
    """One dataset version, as rules see it.

    Attributes:
        version: ``id``, ``reference``, ``digest``, ``shape``, ``rows``, ``total``, ``size_bytes``, the ``options`` of
            its import, and whether its rows are ``indexed`` by the identifiers in them.
        provenance: R1's record of it.
        content: The columns that a model learns from.
        scan: What the rows hold; none where they were not read.
        attested: What people attested of it and of its sources, withdrawn ones left out.
        runs: Trainings on it, with their compute.
        models: Model versions that came of these.
        house: How this Tunery keeps it: sealing, roles, backups, hosts.
        now: When it is asked.
        erasures: Erasures that reached the dataset, with how far they came; none: nobody here can tell.
        holds: Models on hold for these, with what a person decided.
    """

    version: Mapping[str, Any]
    provenance: Mapping[str, Any]
    content: frozenset[str]
    scan: Scan | None
    attested: Sequence[Attested]
    runs: Sequence[Mapping[str, Any]]
    models: Sequence[Mapping[str, Any]]
    house: Mapping[str, Any]
    now: datetime
    erasures: Sequence[Mapping[str, Any]] | None = None
    holds: Sequence[Mapping[str, Any]] = ()

    @property
    def sources(self) -> list[str]:
        """The digests of the files it was made of."""
        return [source["digest"] for source in self.provenance.get("sources", []) if source.get("digest")]

    def said(self, rule_id: str, *, over: bool = False) -> list[Attested]:
        """Return what counts for a rule: of the version, or of every one of its sources; else nothing.

        Args:
            rule_id: The rule.
            over: Return those that are over instead.
        """
        mine = [a for a in self.attested if a.rule == rule_id and over == (a.until is not None and a.until <= self.now)]
        whole = [a for a in mine if a.version_id == self.version["id"]]
        if whole:
            return whole
        by_source = {a.source_digest: a for a in mine if a.source_digest}
        wanted = self.sources
        return [by_source[digest] for digest in wanted] if wanted and {*wanted} <= {*by_source} else []


Check = Callable[[Case], Outcome]


@dataclass(frozen=True)
class Rule:
    """One question about a dataset version.

    Attributes:
        standard: The law or norm, such as ``GDPR``.
        title: What is asked, in a few words.
        who: Who decides: the tool (``A``), a person on what the tool found (``A+H``), a person (``H``).
        check: Answers it; asks nothing but the case.
        needs_rows: It never passes unless every row was read.
        document: Whoever attests it must name a document in the store.
        until: Whoever attests it must say until when it holds.
        words: A statement must begin with one of these; empty: any statement will do.
        instead: The rule whose attestation is another way to the same end; then this one does not apply.
    """

    standard: str
    title: str
    who: Who
    check: Check
    needs_rows: bool = False
    document: bool = False
    until: bool = False
    words: tuple[str, ...] = ()
    instead: str | None = None

    @property
    def attestable(self) -> bool:
        """Whether a person's word can decide it."""
        return self.who != "A" or self.until

    def judge(self, rule_id: str, case: Case) -> Outcome:
        """Return the outcome. A person decides what is under review, never what was found or was not looked at."""
        if self.instead and case.said(self.instead):
            return Outcome("n/a", f"another way was taken ({self.instead})")
        found = self.check(case)
        if self.needs_rows and found.status in ("pass", "review") and not (case.scan and case.scan.complete):
            seen = f"{case.scan.scanned:,} of {case.scan.total:,}" if case.scan else "none"
            found = replace(found, status="unknown", reason=f"not every row was looked at: {seen}", next=())
        if found.status != "review":
            again = [validate_line(case, self.standard)] if found.status == "unknown" else []
            return replace(found, next=found.next or again)
        said = [one for one in case.said(rule_id) if one.document_digest or not found.document]
        if not said:
            return replace(found, next=[*found.next, attest_line(rule_id, self, case, document=found.document)])
        evidence = found.evidence | {"attestations": [one.as_evidence() for one in said]}
        return Outcome("pass", f"attested by {', '.join(sorted({one.by for one in said}))}", evidence)


RULES: Registry[Rule] = Registry(
    "compliance_rule",
    tuple(f"tunery.compliance.rules.{module}" for module in ("gdpr", "ccpa", "hipaa", "ai_act", "general")),
)
"""Every rule by its id; packages add theirs in the group ``tunery.compliance_rule``."""


def rule(rule_id: str, standard: str, title: str, who: Who, **further: Any) -> Callable[[Check], Check]:
    """Register the decorated check as a rule; ``further``: the other attributes of ``Rule``."""

    def keep(check: Check) -> Check:
        RULES.register(rule_id)(Rule(standard, title, who, check, **further))
        return check

    return keep
