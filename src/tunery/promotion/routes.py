"""Routes of gates and promotions."""

from __future__ import annotations

from tunery.platform.http import Call, Limit, Offset, route
from tunery.promotion import operations
from tunery.promotion.evidence import gather_evidence
from tunery.promotion.schemas import GateCheck, GateCreate, GateView, Promotion, VerdictView
from tunery.promotion.tables import Gate
from tunery.registry.schemas import VersionSummary

__all__ = ["check_gate", "create_gate", "get_gate", "list_gates", "promote"]


@route("gates.create", "POST", "/gates", permission="gates:create", status=201)
def create_gate(call: Call, body: GateCreate) -> GateView:
    """Keep criteria under a name."""
    return _view(operations.create_gate(call.session, call.actor, body), [])


@route("gates.list", "GET", "/gates", permission="gates:read")
def list_gates(call: Call, limit: Limit = 50, offset: Offset = 0) -> list[GateView]:
    """List gates."""
    return call.page(operations.list_gates(call.session, limit, offset), lambda row: _view(row, []))


@route("gates.get", "GET", "/gates/{name}", permission="gates:read")
def get_gate(call: Call, name: str) -> GateView:
    """Show a gate and its newest verdicts."""
    row = operations.get_gate(call.session, name)
    verdicts = operations.list_verdicts(call.session, gate_name=row.name)
    return _view(row, [VerdictView.model_validate(verdict) for verdict in verdicts])


@route("gates.check", "POST", "/gates/{name}/check", permission="gates:create")
def check_gate(call: Call, name: str, body: GateCheck) -> VerdictView:
    """Hold a version against a gate; the verdict is kept with its evidence."""
    with call.ground.database.session(call.actor.tenant_id, read_only=True) as session:
        criteria = operations.criteria_of(operations.get_gate(session, name))
    gathered = gather_evidence(call.ground, call.actor.tenant_id, body.version, criteria, body.evaluation_id)
    gate = operations.get_gate(call.session, name)
    row = operations.keep_verdict(call.session, call.actor, gathered, criteria, gate.name, gate)
    return VerdictView.model_validate(row)


@route("models.promote", "POST", "/models/{name}/versions/{version}/promote", permission="models:promote")
def promote(call: Call, name: str, version: str, body: Promotion) -> VersionSummary:
    """Move a version's stage; upwards only on a passing verdict."""
    row = operations.promote_version(call.session, call.actor, f"{name}:{version}", body)
    return VersionSummary.model_validate(row)


def _view(row: Gate, verdicts: list[VerdictView]) -> GateView:
    return GateView(
        id=row.id,
        name=row.name,
        description=row.description,
        criteria=operations.criteria_of(row),
        verdicts=verdicts,
        created_by=row.created_by,
        created_at=row.created_at,
    )
