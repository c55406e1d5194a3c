"""Routes of tracing and erasing."""

from __future__ import annotations

from typing import Any

from tunery.datasets.views import JobStarted
from tunery.platform.http import Call, Limit, Offset, route
from tunery.subjects import evidence, operations
from tunery.subjects.certificates import read_certificate
from tunery.subjects.schemas import Decision, EraseWish, ErasureView, HoldView, SubjectWish, Trace

__all__ = ["evidence"]


@route("subjects.trace", "POST", "/subjects/trace", permission="subjects:trace")
def trace(call: Call, body: SubjectWish) -> Trace:
    """Show everything that saw a person's rows: versions, runs, evaluations, models, deployments, copies."""
    return operations.trace(call.ground, call.session, call.actor, body.identifier)


@route("subjects.erase", "POST", "/subjects/erase", permission="subjects:erase", status=202)
def erase(call: Call, body: EraseWish) -> JobStarted:
    """Erase a person's rows for good, as a durable job; its result names the erasure and its certificate."""
    return JobStarted(job_id=operations.start_erasure(call.ground, call.session, call.actor, body).id)


@route("subjects.erasures", "GET", "/subjects/erasures", permission="subjects:trace")
def list_erasures(call: Call, limit: Limit = 50, offset: Offset = 0) -> list[ErasureView]:
    """List erasures, the newest first."""
    return call.page(operations.list_erasures(call.session, limit, offset), ErasureView.model_validate)


@route("subjects.certificate", "GET", "/subjects/erasures/{erasure_id}/certificate", permission="subjects:trace")
def certificate(call: Call, erasure_id: str) -> dict[str, Any]:
    """Show the signed certificate of an erasure: what was reached, and what was not."""
    return read_certificate(call.ground, operations.get_erasure(call.session, erasure_id))


@route("subjects.decide", "POST", "/subjects/erasures/{erasure_id}/decision", permission="subjects:erase")
def decide(call: Call, erasure_id: str, body: Decision) -> HoldView:
    """Decide what becomes of a model that learned from erased rows."""
    return HoldView.model_validate(operations.decide(call.session, call.actor, erasure_id, body))
