"""Use cases of gates and promotions."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from tunery import audit
from tunery.errors import Conflict, GateFailed, NotFound, StaleState
from tunery.evaluation.operations import keep_comparison
from tunery.kit.actor import Actor
from tunery.kit.ids import parse_id
from tunery.kit.references import check_name
from tunery.platform.db import Page, TenantSession, page_of, row_of
from tunery.platform.events import emit
from tunery.promotion.evidence import Gathered
from tunery.promotion.rules import decide, is_upward
from tunery.promotion.schemas import Criterion, GateCreate, Promotion
from tunery.promotion.tables import Gate, Verdict
from tunery.registry.holds import check_not_held
from tunery.registry.operations import move_stage, resolve_version
from tunery.registry.tables import ModelVersion

__all__ = [
    "create_gate",
    "criteria_of",
    "get_gate",
    "get_verdict",
    "keep_verdict",
    "list_gates",
    "list_verdicts",
    "promote_version",
]


def create_gate(session: TenantSession, actor: Actor, wish: GateCreate) -> Gate:
    """Keep criteria under a name. The same criteria again return the gate that stands.

    Raises:
        Conflict: The name stands for other criteria; gates never change, as verdicts refer to them.
    """
    criteria = _plain(wish.criteria)
    standing = session.scalars(sa.select(Gate).where(Gate.name == check_name(wish.name))).one_or_none()
    if standing is not None:
        if standing.criteria != criteria:
            raise Conflict(f"the gate {wish.name} stands with other criteria and gates never change; use another name")
        return standing
    row = Gate(name=wish.name, description=wish.description, criteria=criteria, created_by=actor.name)
    session.add(row)
    session.flush()
    audit.record(session, actor, "gate_created", f"gates/{row.name}", criteria=criteria)
    return row


def get_gate(session: TenantSession, name: str) -> Gate:
    """Return a gate by name or id. Raises: NotFound."""
    gate_id = parse_id(name)
    condition = Gate.id == gate_id if gate_id else Gate.name == name
    row = session.scalars(sa.select(Gate).where(condition)).one_or_none()
    if row is None:
        raise NotFound(f"there is no gate {name[:100]!r}; `tunery gates list` shows what there is")
    return row


def list_gates(session: TenantSession, limit: int = 50, offset: int = 0) -> Page[Gate]:
    """Return gates by name."""
    return page_of(session, sa.select(Gate).order_by(Gate.name), limit, offset)


def criteria_of(gate: Gate) -> list[Criterion]:
    """Return a kept gate's criteria."""
    return [Criterion.model_validate(one) for one in gate.criteria]


def keep_verdict(
    session: TenantSession,
    actor: Actor,
    gathered: Gathered,
    criteria: Sequence[Criterion],
    gate_name: str,
    gate: Gate | None = None,
) -> Verdict:
    """Judge gathered evidence and keep the verdict with it, and the comparisons it rests on.

    Args:
        session: The deed's session.
        actor: Who asks.
        gathered: From ``gather_evidence``, with the same criteria.
        criteria: What is asked.
        gate_name: Name that the verdict carries; that of a recipe where there is no kept gate.
        gate: The kept gate, if the criteria are one's.

    Raises:
        StaleState: The version is no longer the one that the evidence was gathered on.
    """
    version = resolve_version(session, gathered.version_id)
    if version.manifest_digest != gathered.manifest_digest:
        raise StaleState(f"{version.reference} changed while its evidence was gathered; check it again")
    ruling = decide(criteria, gathered.evidence)
    for name, differences in gathered.differences.items():
        candidate, baseline = gathered.evaluations["candidate"], gathered.evaluations[name]
        keep_comparison(session, actor, baseline.id, candidate.id, differences)
    row = Verdict(
        gate_id=gate.id if gate else None,
        gate_name=gate_name,
        criteria=_plain(criteria),
        model_version_id=version.id,
        model_reference=version.reference,
        manifest_digest=version.manifest_digest,
        passed=ruling.passed,
        findings=[finding.model_dump(mode="json") for finding in ruling.findings],
        evaluations={
            role: {
                "evaluation_id": one.id,
                "model_reference": one.model_reference,
                "predictions_digest": one.predictions_digest,
            }
            for role, one in gathered.evaluations.items()
        },
        created_by=actor.name,
    )
    session.add(row)
    session.flush()
    audit.record(session, actor, "gate_checked", version.reference, gate=gate_name, passed=row.passed, verdict=row.id)
    data = {"version_id": version.id, "verdict_id": row.id, "passed": row.passed}
    emit(session, actor, "gates.checked", f"models/{version.reference}", data)
    return row


def get_verdict(session: TenantSession, verdict_id: str) -> Verdict:
    """Return a verdict. Raises: NotFound."""
    return row_of(session, Verdict, verdict_id, "verdict", "`tunery gates get` shows a gate's verdicts")


def list_verdicts(
    session: TenantSession, *, version_id: str | None = None, gate_name: str | None = None, limit: int = 20
) -> list[Verdict]:
    """Return verdicts, the newest first; of one version, of one gate, where given."""
    statement = sa.select(Verdict)
    if version_id is not None:
        statement = statement.where(Verdict.model_version_id == version_id)
    if gate_name is not None:
        statement = statement.where(Verdict.gate_name == gate_name)
    return list(session.scalars(statement.order_by(Verdict.created_at.desc(), Verdict.id.desc()).limit(limit)))


def promote_version(session: TenantSession, actor: Actor, reference: str, wish: Promotion) -> ModelVersion:
    """Move a version's stage; upwards only on a passing verdict on this very digest.

    The verdict must be its gate's newest on this version: a later failure takes an earlier pass back.

    Raises:
        GateFailed: There is no such verdict, or it did not pass; names the criteria at fault.
        Refused: The version is on hold, or the registry knows no such transition. StaleState: the stage is not what was
            seen any more.
    """
    version = resolve_version(session, reference)
    seen = version.stage if wish.seen_stage is None else wish.seen_stage
    upward = is_upward(seen, wish.to_stage)
    if upward:
        check_not_held(session, version)
    verdict = _passing_verdict(session, version, wish.verdict_id) if upward else None
    moved = move_stage(session, actor, version.id, seen, wish.to_stage)
    audit.record(
        session,
        actor,
        "model_promoted" if verdict else "model_stage_changed",
        version.reference,
        environment=wish.to_stage,
        seen=seen,
        digest=version.manifest_digest,
        verdict=verdict.id if verdict else None,
    )
    return moved


def _passing_verdict(session: TenantSession, version: ModelVersion, verdict_id: str | None) -> Verdict:
    if verdict_id is None:
        newest = list_verdicts(session, version_id=version.id, limit=1)
        if not newest:
            raise GateFailed(f"no gate has judged {version.reference} yet; check it with `tunery gates check` first")
        verdict = newest[0]
    else:
        verdict = get_verdict(session, verdict_id)
    if (verdict.model_version_id, verdict.manifest_digest) != (version.id, version.manifest_digest):
        raise GateFailed(
            f"verdict {verdict.id} is on {verdict.model_reference} ({verdict.manifest_digest[:12]}), not on this"
        )
    newest_of_gate = list_verdicts(session, version_id=version.id, gate_name=verdict.gate_name, limit=1)[0]
    if newest_of_gate.id != verdict.id:
        raise GateFailed(
            f"the gate {verdict.gate_name} has judged {version.reference} again since; see {newest_of_gate.id}"
        )
    if not verdict.passed:
        faults = [f["reason"] for f in verdict.findings if f["outcome"] != "pass"] or ["it asks nothing"]
        raise GateFailed(
            f"the gate {verdict.gate_name} did not pass for {version.reference}: {'; '.join(faults)}",
            verdict_id=verdict.id,
            reasons=faults,
        )
    return verdict


def _plain(criteria: Sequence[Criterion]) -> list[dict[str, object]]:
    return [criterion.resolved().model_dump(mode="json") for criterion in criteria]
