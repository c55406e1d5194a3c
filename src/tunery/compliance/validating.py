"""Validate a dataset version: scan its rows, let each rule decide, seal the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from tunery.compliance.facts import gather_case
from tunery.compliance.ports import GENERAL, RULES, Case, Outcome, Scan
from tunery.compliance.reporting import keep_report
from tunery.compliance.scanning import detectors_for, scan_rows
from tunery.compliance.schemas import RuleOutcome, RuleView, ValidationWish
from tunery.compliance.tables import ComplianceReport
from tunery.datasets.operations import resolve_version, rows_of
from tunery.datasets.pii import DETECTORS
from tunery.datasets.tables import DatasetVersion
from tunery.errors import InvalidInput, StaleState
from tunery.kit.actor import Actor
from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground

__all__ = ["check_standards", "is_small", "list_rules", "record_validation", "scan_version", "version_of"]

_SMALL_BYTES, _SMALL_ROWS = 1_000_000, 5_000


def list_rules() -> list[RuleView]:
    """Return every rule, by id."""
    return [
        RuleView(
            rule=rule_id,
            standard=rule.standard,
            title=rule.title,
            who=rule.who,
            attestable=rule.attestable,
            needs_document=rule.document,
            needs_until=rule.until,
            begins_with=[*rule.words],
        )
        for rule_id, rule in RULES
    ]


def check_standards(wanted: Iterable[str]) -> list[str]:
    """Return the standards by the names they have here; none named: all. Raises: InvalidInput: lists those known."""
    known = sorted({rule.standard for _, rule in RULES})
    found = []
    for name in wanted:
        if name.strip().upper() not in known:
            raise InvalidInput(f"there are no rules of the standard {name[:50]!r}; known: {', '.join(known)}")
        found.append(name.strip().upper())
    return sorted({*found}) or known


def version_of(session: TenantSession, wish: ValidationWish) -> DatasetVersion:
    """Return the version that a wish names. Raises: NotFound, Erased; InvalidInput: unknown standards."""
    check_standards(wish.standards)
    return resolve_version(session, f"{wish.dataset_id}:{wish.version}" if wish.version else wish.dataset_id)


def is_small(version: DatasetVersion, wish: ValidationWish) -> bool:
    """Tell whether a version is looked at while the caller waits."""
    return version.size_bytes <= _SMALL_BYTES and version.total_samples <= _SMALL_ROWS and not wish.names


def scan_version(
    ground: Ground, version: DatasetVersion, wish: ValidationWish, watch: Callable[[int], None] = lambda rows: None
) -> Scan:
    """Read the rows of a version once; no session is held meanwhile.

    Raises:
        InvalidInput: A format is no pattern. MissingExtra: names are to be looked for, and nothing here can.
    """
    return scan_rows(
        rows_of(ground, version),
        version.shape,  # type: ignore[arg-type] # SQL holds it as text
        version.total_samples,
        detectors_for(wish.formats),
        names=DETECTORS.get("entities")() if wish.names else None,
        name_rows=wish.names,
        quasi=wish.quasi_identifiers,
        watch=watch,
    )


def record_validation(
    session: TenantSession,
    ground: Ground,
    actor: Actor,
    version_id: str,
    scan: Scan,
    standards: list[str],
    job_id: str | None = None,
) -> ComplianceReport:
    """Let each rule decide, and keep the sealed report. Raises: Erased: the version went meanwhile; StaleState."""
    version = resolve_version(session, version_id)
    if version.total_samples != scan.total:
        raise StaleState(f"{version.reference} changed while it was looked at; validate it again")
    case = gather_case(session, ground, version, scan)
    outcomes = judge(case, standards)
    predicate = {
        "schema": 1,
        "dataset": dict(case.version),
        "standards": standards,
        **verdict_of(outcomes, standards),
        "rules": [one.model_dump(mode="json", by_alias=True) for one in outcomes],
        "scan": _of_scan(scan),
        "runs": [run["id"] for run in case.runs],
        "models": [model["id"] for model in case.models],
        "validatedAt": case.now.isoformat(),
        "validatedBy": actor.name,
    }
    return keep_report(session, ground, actor, version, predicate, job_id)


def judge(case: Case, standards: Iterable[str]) -> list[RuleOutcome]:
    """Return what each rule answers: those of the standards, and of what holds for any training data."""
    wanted = {*standards}
    found = []
    for rule_id, rule in RULES:
        if rule.standard not in wanted | {*GENERAL}:
            continue
        outcome: Outcome = rule.judge(rule_id, case)
        found.append(
            RuleOutcome(
                rule=rule_id,
                standard=rule.standard,
                title=rule.title,
                who=rule.who,
                status=outcome.status,
                reason=outcome.reason,
                evidence=outcome.evidence,
                next=[*outcome.next],
                decides=rule.standard in wanted,
            )
        )
    return found


def verdict_of(outcomes: list[RuleOutcome], standards: Iterable[str]) -> dict[str, Any]:
    """Derive R1's fields. ``compliant`` takes a pass of every rule that applies; a standard of none is undecided."""
    results: dict[str, bool | None] = {}
    for standard in standards:
        own = [one.status for one in outcomes if one.standard == standard and one.status != "n/a"]
        results[standard] = False if "fail" in own else True if own and {*own} == {"pass"} else None
    deciding = [one for one in outcomes if one.decides]
    failed = [one for one in deciding if one.status == "fail"]
    counts = [
        f"{len(failed)} failed" if failed else "no automatic failure",
        f"{sum(one.status == 'review' for one in deciding)} attestations open",
        f"{sum(one.status == 'unknown' for one in deciding)} rules unanswered",
    ]
    others = [one for one in outcomes if one.status in ("fail", "review", "unknown") and one not in failed]
    return {
        "results": results,
        "compliant": bool(results) and all(result is True for result in results.values()),
        "summary": "; ".join(counts),
        "violations": [f"{one.standard}: {one.title}: {one.reason} ({one.rule})" for one in failed],
        "warnings": [_warning(one) for one in others],
    }


def _warning(one: RuleOutcome) -> str:
    """Say what R1 says word for word where a licence is missing; else with standard and rule."""
    return one.reason if one.rule == "LIC-COMPAT" else f"{one.standard}: {one.title}: {one.reason} ({one.rule})"


def _of_scan(scan: Scan) -> dict[str, Any]:
    told = asdict(scan)
    return {key: told[key] for key in ("total", "scanned", "counts", "rows", "detectors")}
