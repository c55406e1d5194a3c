"""Jobs: units of the queue, and what they report."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from tunery.api.schemas import JobView
from tunery.client.nouns import Noun, Page, view
from tunery.client.transport import events_of, path_of
from tunery.errors import Cancelled, Unavailable, error_from_problem
from tunery.kit.lines import lines_of

__all__ = ["FINISHED", "Jobs", "raise_failure"]

FINISHED = frozenset({"succeeded", "failed", "cancelled"})
_MOST_BREAKS = 20


class Jobs(Noun):
    """Jobs of the tenant."""

    def list(self, *, status: str | None = None, limit: int = 50, offset: int = 0) -> Page[JobView]:
        """List jobs, the newest first; ``status`` is queued, running, succeeded, failed or cancelled."""
        return self._page(JobView, path_of("jobs"), status=status, limit=limit, offset=offset)

    def get(self, job_id: str) -> JobView:
        """Show a job."""
        return view(JobView, self._get(path_of("jobs", job_id)))

    def cancel(self, job_id: str) -> JobView:
        """Ask a job to end; a running one does within seconds."""
        return view(JobView, self._send("POST", path_of("jobs", job_id, "cancel")))

    def retry(self, job_id: str) -> JobView:
        """Queue a failed or cancelled job again; it goes on from what it had finished."""
        return view(JobView, self._send("POST", path_of("jobs", job_id, "retry")))

    def events(self, job_id: str, *, after: int = 0, follow: bool = True) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield number and content of what a job reports, in order.

        Args:
            job_id: The job.
            after: Begin after this number.
            follow: Wait for more until the job has finished; False yields what is there. A broken connection is
                opened again where it broke.
        """
        breaks = 0
        while True:
            try:
                for number, event in self._events_once(job_id, after, follow):
                    after, breaks = number, 0
                    yield number, event
            except Unavailable:
                breaks += 1
                if not follow or breaks > _MOST_BREAKS:
                    raise
                time.sleep(min(5.0, 0.25 * breaks))
                continue
            if not follow or self.get(job_id).status in FINISHED:
                return

    def wait(self, job_id: str, *, check: bool = True) -> JobView:
        """Wait until a job has finished, and return it.

        Args:
            job_id: The job.
            check: Whether a job that failed or was cancelled raises; False returns it, its ``error`` in it.

        Raises:
            TuneryError: The error that the job failed with. Cancelled: somebody cancelled it.
        """
        for _ in self.events(job_id):
            pass
        job = self.get(job_id)
        if check:
            raise_failure(job)
        return job

    def _events_once(self, job_id: str, after: int, follow: bool) -> Iterator[tuple[int, dict[str, Any]]]:
        query = {"after": after, "follow": str(follow).lower()}
        with self._transport.stream("GET", path_of("jobs", job_id, "events"), query=query) as response:
            for number, data in events_of(lines_of(response.iter_bytes())):
                yield int(number), json.loads(data)


def raise_failure(job: JobView) -> None:
    """Raise the error of a job that failed, and Cancelled for one that was cancelled."""
    if job.status == "cancelled":
        raise Cancelled(f"job {job.id} was cancelled; `tunery jobs retry {job.id}` goes on with it")
    if job.status == "failed":
        raise error_from_problem(job.error or {})
