"""What rules that count findings, or ask a person, have in common."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tunery.compliance.closing import rid_lines, validate_line
from tunery.compliance.ports import RULES, Case, Outcome, Rule, Scan, Status, Who

__all__ = ["NOT_READ", "asked", "count", "found_of", "names", "person"]

NOT_READ = Outcome("unknown", "the rows were not looked at")


def count(
    rule_id: str,
    standard: str,
    title: str,
    who: Who,
    kinds: Collection[str] | str,
    *,
    found: Status = "fail",
    none: Status = "pass",
    review: Collection[str] = (),
    numbers: bool = False,
    **further: Any,
) -> None:
    """Register a rule that counts findings.

    Args:
        rule_id: Its id.
        standard: Its standard.
        title: What is asked.
        who: Who decides.
        kinds: Kinds that count, or the name of a detector whose kinds they are.
        found: The outcome where some were found.
        none: The outcome where none were.
        review: Kinds that a person has to look at, whatever else is found.
        numbers: Whether a column of numbers may hold it, which no detector can tell, so a person has to.
        further: Other attributes of the rule.
    """

    def check(case: Case) -> Outcome:
        if case.scan is None:
            return NOT_READ
        own = case.scan.detectors.get(kinds, {}).get("kinds", []) if isinstance(kinds, str) else kinds
        evidence = found_of(case.scan, {*own, *review})
        hard = {kind: n for kind, n in evidence["counts"].items() if kind not in review}
        if hard:
            return Outcome(found, _told(hard), evidence, rid_lines(case, hard) if found == "fail" else ())
        columns = sorted(name for name, column in case.scan.columns.items() if numbers and column["numbers"])
        reason = _told(evidence["counts"]) if evidence["counts"] else "none found by these detectors"
        if columns:
            reason += f"; nobody but a person can tell what the numbers in {', '.join(columns[:10])} are"
            evidence |= {"columns_of_numbers": columns}
        if columns or evidence["counts"]:
            return Outcome("review", reason, evidence)
        return Outcome(none, "none found by these detectors", evidence)

    RULES.register(rule_id)(Rule(standard, title, who, check, needs_rows=True, **further))


def person(rule_id: str, standard: str, title: str, question: str, **further: Any) -> None:
    """Register a rule that only a person can answer."""

    def check(case: Case) -> Outcome:
        return asked(question, case, rule_id)

    RULES.register(rule_id)(Rule(standard, title, "H", check, **further))


def asked(question: str, case: Case, rule_id: str) -> Outcome:
    """Return that a person has to say it, and whether one did once."""
    over = case.said(rule_id, over=True)
    return Outcome(
        "review",
        f"{question}; {'the attestation is over' if over else 'nobody has attested it'}",
        {"over": [one.as_evidence() for one in over]} if over else {},
    )


def names(
    rule_id: str, standard: str, title: str, kinds: Collection[str], hard: Collection[str] = (), **further: Any
) -> None:
    """Register a rule about names: whatever a detector of names found or missed, a person decides.

    Where no detector has looked, the person's word needs a document that tells which rows were read.

    Args:
        rule_id: Its id.
        standard: Its standard.
        title: What is asked.
        kinds: Kinds that count.
        hard: Kinds that fail it by themselves.
        further: Other attributes of the rule.
    """

    def check(case: Case) -> Outcome:
        if case.scan is None:
            return NOT_READ
        evidence = found_of(case.scan, kinds)
        if failing := {kind: n for kind, n in evidence["counts"].items() if kind in hard}:
            return Outcome("fail", _told(failing), evidence, rid_lines(case, failing))
        looked = max((about["rows"] for about in case.scan.detectors.values() if "PERSON" in about["kinds"]), default=0)
        if not looked:
            reason = "nobody looked for names; let a detector do it, or read rows and attest what you read"
            again = [validate_line(case, standard, "--names", "500")]
            return Outcome("review", reason, evidence, again, document=True)
        found = _told(evidence["counts"]) if evidence["counts"] else "none found"
        return Outcome("review", f"{found} in the {looked:,} rows looked at; such detectors miss many", evidence)

    RULES.register(rule_id)(Rule(standard, title, "A+H", check, needs_rows=True, **further))


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {kind}" for kind, n in sorted(counts.items()))


def found_of(scan: Scan, kinds: Collection[str]) -> dict[str, Any]:
    """Return what a scan found of some kinds, with who looked and how well such detectors find: a rule's evidence."""
    looked = {}
    for name, about in scan.detectors.items():
        if own := sorted(set(about["kinds"]) & set(kinds)):
            recall = {kind: about["measured"][kind]["recall"] for kind in own if kind in about["measured"]}
            looked[name] = {
                "version": about["version"],
                "rows": about["rows"],
                "recall": recall or "not measured",
                "measured_on": about["measured_on"],
            }
    return {
        "rows_scanned": scan.scanned,
        "rows_total": scan.total,
        "counts": {kind: scan.counts[kind] for kind in sorted(kinds) if kind in scan.counts},
        "rows": {kind: scan.rows[kind] for kind in sorted(kinds) if kind in scan.rows},
        "samples": {kind: scan.samples[kind] for kind in sorted(kinds) if kind in scan.samples},
        "detectors": looked,
    }
