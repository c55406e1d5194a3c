"""``tunery jobs``."""

from __future__ import annotations

from typing import Annotated

import typer

from tunery.cli.noun import Limit, Noun, Offset
from tunery.cli.output import Output, print_json, sheet, table
from tunery.cli.progress import event_line
from tunery.cli.waiting import interruptible
from tunery.client import Client

noun = Noun("jobs", "Units of the queue: follow, cancel, retry.")
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]


@noun.command("list", example="tunery jobs list --status running")
def list_jobs(
    status: Annotated[
        str | None, typer.Option(help="Only jobs that are queued, running, succeeded, failed or cancelled.")
    ] = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Output:
    """List jobs, the newest first."""
    with Client() as client:
        jobs = client.jobs.list(status=status, limit=limit, offset=offset)
        return table(jobs, "id", "kind", "status", "subject", "createdAt")


@noun.command("get", example="tunery jobs get 0198c0de-0000-7000-8000-000000000001")
def get_job(job: JobId) -> Output:
    """Show a job."""
    with Client() as client:
        return sheet(client.jobs.get(job))


@noun.command("cancel", example="tunery jobs cancel 0198c0de-0000-7000-8000-000000000001")
def cancel_job(job: JobId) -> Output:
    """Ask a job to end; a running one does within seconds."""
    with Client() as client:
        return sheet(client.jobs.cancel(job), "id", "kind", "status")


@noun.command("retry", example="tunery jobs retry 0198c0de-0000-7000-8000-000000000001")
def retry_job(job: JobId) -> Output:
    """Queue a failed or cancelled job again; it goes on from what it had finished."""
    with Client() as client:
        return sheet(client.jobs.retry(job), "id", "kind", "status")


@noun.command("events", example="tunery jobs events 0198c0de-0000-7000-8000-000000000001 --no-follow")
def job_events(
    job: JobId,
    after: Annotated[int, typer.Option(min=0, help="Begin after this number.")] = 0,
    follow: Annotated[bool, typer.Option(help="Wait for more until the job has finished.")] = True,
    as_json: bool = False,
) -> None:
    """Show what a job reports, line by line."""
    with Client() as client, interruptible(client, f"tunery jobs events {job}", f"tunery jobs cancel {job}"):
        for number, event in client.jobs.events(job, after=after, follow=follow):
            if as_json:
                print_json({"number": number, **event}, indent=None)
            else:
                typer.echo(event_line(event))
