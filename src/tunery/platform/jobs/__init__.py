"""Durable jobs: rows first, then DBOS."""

from tunery.platform.jobs.context import JobContext
from tunery.platform.jobs.kinds import JOB_KINDS, JobKind, job
from tunery.platform.jobs.queue import UNFINISHED, cancel_job, enqueue_job, retry_job
from tunery.platform.jobs.tables import Job, JobEvent

__all__ = [
    "JOB_KINDS",
    "UNFINISHED",
    "Job",
    "JobContext",
    "JobEvent",
    "JobKind",
    "cancel_job",
    "enqueue_job",
    "job",
    "retry_job",
]
