"""Wait for a job and show what it reports; or do not wait, and say how to look."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from tunery.cli.live import open_screen
from tunery.cli.noun import INTERRUPTED
from tunery.cli.output import note
from tunery.client import Client
from tunery.client.jobs import raise_failure

__all__ = ["Wait", "finish", "found_by", "interruptible"]

Wait = Annotated[bool, typer.Option(help="Wait until it is done; without a server nothing works on it otherwise.")]


@contextmanager
def interruptible(client: Client, again: str, cancel: str) -> Iterator[None]:
    """Tell who interrupts the block what becomes of the work, and end the command.

    Args:
        client: The client.
        again: The command line that goes on with the work, or watches it again.
        cancel: The command line that ends it.
    """
    try:
        yield
    except KeyboardInterrupt:
        server = client.transport.reached  # only asked for, never started: who interrupts wants an end
        if server is None or server.own:
            note(f"\nStopping. What is finished stands; go on with: {again}")
        else:
            note(f"\nThe work goes on at {server}. Watch it again with: {again}\nEnd it with: {cancel}")
        raise typer.Exit(INTERRUPTED) from None


def finish(client: Client, job_id: str | None, title: str, wait: bool) -> None:
    """Wait until a job has finished.

    Args:
        client: The client.
        job_id: The job; None where there is nothing to wait for.
        title: What it does, for the screen.
        wait: False only says how to look.

    Raises:
        TuneryError: The error that the job failed with. Cancelled: somebody cancelled it.
    """
    if job_id is None:
        return
    if not wait:
        note(f"{title} as job {job_id}; look with: tunery jobs events {job_id}")
        return
    stage = {"name": job_id, "title": title, "status": "running", "seconds": None, "detail": None}
    watch, cancel = f"tunery jobs events {job_id}", f"tunery jobs cancel {job_id}"
    with interruptible(client, watch, cancel), open_screen() as screen:
        screen.stages([stage])
        for _, event in client.jobs.events(job_id):
            screen.event(event)
        job = client.jobs.get(job_id)
        screen.stages([stage | {"status": job.status, "seconds": job.seconds}])
    raise_failure(job)


def found_by(client: Client, job_id: str, title: str, wait: bool) -> dict[str, Any]:
    """Wait for a job and return what it found, with its id; without waiting, the id alone."""
    finish(client, job_id, title, wait)
    return {"jobId": job_id, **((client.jobs.get(job_id).result or {}) if wait else {})}
