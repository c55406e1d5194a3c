"""Routes of jobs and what they report."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence

import anyio
import anyio.to_thread
import sqlalchemy as sa
from fastapi import Query
from starlette.responses import Response, StreamingResponse

from tunery import audit
from tunery.api.schemas import JobView
from tunery.errors import TuneryError
from tunery.platform.db import TenantSession, page_of, row_of
from tunery.platform.http import AsyncCall, Call, Limit, Offset, route
from tunery.platform.jobs import Job, JobEvent, cancel_job, retry_job
from tunery.platform.jobs.queue import FINISHED

__all__: list[str] = []
_POLL_SECONDS = 0.25
_SILENT_SECONDS = 15.0
_RECHECK_SECONDS = 5.0
_LOOKING = anyio.CapacityLimiter(8)
"""Those who watch jobs share these threads, so that they keep nobody else waiting."""


@route("jobs.list", "GET", "/jobs", permission="jobs:read")
def list_jobs(
    call: Call, status: str | None = Query(None, max_length=20), limit: Limit = 50, offset: Offset = 0
) -> list[JobView]:
    """List jobs, the newest first."""
    statement = sa.select(Job).order_by(Job.id.desc())
    if status:
        statement = statement.where(Job.status == status)
    return call.page(page_of(call.session, statement, limit, offset), JobView.model_validate)


@route("jobs.get", "GET", "/jobs/{job_id}", permission="jobs:read")
def get_job(call: Call, job_id: str) -> JobView:
    """Show a job."""
    return JobView.model_validate(_existing(call.session, job_id))


@route("jobs.cancel", "POST", "/jobs/{job_id}/cancel", permission="jobs:cancel")
def cancel(call: Call, job_id: str) -> JobView:
    """Ask a job to end."""
    row = cancel_job(call.session, _existing(call.session, job_id).id)
    audit.record(call.session, call.actor, "job_cancelled", f"jobs/{row.id}", kind=row.kind)
    return JobView.model_validate(row)


@route("jobs.retry", "POST", "/jobs/{job_id}/retry", permission="jobs:cancel")
def retry(call: Call, job_id: str) -> JobView:
    """Queue a failed or cancelled job again; it goes on from what it had finished."""
    row = retry_job(call.session, _existing(call.session, job_id).id)
    audit.record(call.session, call.actor, "job_retried", f"jobs/{row.id}", kind=row.kind)
    return JobView.model_validate(row)


@route("jobs.events", "GET", "/jobs/{job_id}/events", permission="jobs:read")
async def events(call: AsyncCall, job_id: str, after: int = Query(0, ge=0, lt=2**63), follow: bool = True) -> Response:
    """Stream what a job reports, as server-sent events, from after a number on until it has finished."""
    finished, _ = await _look(call, job_id, after)
    if follow and not finished and (worker := call.services.get("worker")):
        await anyio.to_thread.run_sync(worker.wake, limiter=_LOOKING)  # who waits for a job wants it carried out
    stream = _events(call, job_id, after, follow)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _events(call: AsyncCall, job_id: str, after: int, follow: bool) -> AsyncIterator[str]:
    silent_since = asked_at = time.monotonic()
    while True:
        try:
            if time.monotonic() - asked_at > _RECHECK_SECONDS:
                await call.recheck()
                asked_at = time.monotonic()
            finished, found = await _look(call, job_id, after)
        except TuneryError:
            return  # who asks again is told why
        for event in found:
            after, silent_since = event.number, time.monotonic()
            yield f"id: {event.number}\ndata: {json.dumps(event.data)}\n\n"
        if not found and (not follow or finished):
            return
        if not found:
            if time.monotonic() - silent_since > _SILENT_SECONDS:
                silent_since = time.monotonic()
                yield ": still here\n\n"
            await anyio.sleep(_POLL_SECONDS)


async def _look(call: AsyncCall, job_id: str, after: int) -> tuple[bool, Sequence[JobEvent]]:
    """Return whether a job has finished, and what it reported after a number. Raises: NotFound."""

    def look() -> tuple[bool, Sequence[JobEvent]]:
        with call.ground.database.session(call.actor.tenant_id, read_only=True) as session:
            row = _existing(session, job_id)
            statement = sa.select(JobEvent).where(JobEvent.job_id == row.id, JobEvent.number > after)
            return row.status in FINISHED, session.scalars(statement.order_by(JobEvent.number).limit(1000)).all()

    return await anyio.to_thread.run_sync(look, limiter=_LOOKING)


def _existing(session: TenantSession, job_id: str) -> Job:
    return row_of(session, Job, job_id, "job", "`tunery jobs list` shows what there is")
