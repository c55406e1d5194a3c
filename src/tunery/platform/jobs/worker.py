"""The worker: hands rows over to DBOS, carries jobs out, keeps leases alive, takes over from the dead.

A job's DBOS workflow has the job's id and round as its own, so handing a row over twice is harmless. DBOS returns the
workflows of a killed process to a process of the same name at its start; the sweep takes over those of other names when
their lease has run out: the row goes back to the queue in its next round. Claiming is a compare-and-set
on the row, so at most one attempt holds a job.
"""

from __future__ import annotations

import fcntl
import json
import logging
import socket
import threading
import traceback
from datetime import timedelta
from typing import IO, Any

import sqlalchemy as sa
import structlog
from dbos import DBOS, DBOSConfig, Serializer, SetWorkflowID

from tunery.errors import Cancelled, Conflict, Refused, TuneryError
from tunery.kit.clock import now
from tunery.kit.ids import new_id
from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import enqueue_due, keep_house
from tunery.platform.jobs.context import JobContext, LeaseLost
from tunery.platform.jobs.kinds import JOB_KINDS
from tunery.platform.jobs.queue_database import queue_engine
from tunery.platform.jobs.tables import Job, JobEvent

__all__ = ["Worker"]

log = structlog.get_logger(__name__)
_current: Worker | None = None  # DBOS knows one queue a process
_choosing = threading.Lock()


class _PlainJson(Serializer):
    """DBOS pickles by default; this keeps JSON and reads nothing else."""

    def serialize(self, data: Any) -> str:
        return json.dumps(data, default=str)

    def deserialize(self, serialized_data: str) -> Any:
        return json.loads(serialized_data)

    def name(self) -> str:
        return "tunery_json"


@DBOS.workflow(name="tunery.job", max_recovery_attempts=1000)
def _carry_out(job_id: str, round_number: int) -> None:
    if _current is not None:
        _current.carry_out(job_id, round_number)


class Worker:
    """One worker of this name on this ground; a file lock keeps a second one out."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        default = "local" if ground.settings.is_sqlite else socket.gethostname()
        self._name = ground.settings.worker_name or default
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._running: dict[str, str] = {}
        self._lock: IO[str] | None = None
        self._threads: dict[threading.Thread, float] = {}
        self._starts_when_woken = False
        self._starting = threading.Lock()

    def start_when_woken(self) -> None:
        """Start with the first ``wake``, so that who only looks does not take up unfinished jobs.

        Raises: Refused: another worker runs in this process.
        """
        self._take_process()
        self._starts_when_woken = True

    def start(self) -> None:
        """Take the worker's lock, start DBOS and the sweep.

        Raises: Conflict: a worker of this name is running. Refused: another worker runs in this process.
        """
        self._take_process()
        self._lock = self._take_lock()
        settings = self._ground.settings
        config = DBOSConfig(
            name="tunery",
            system_database_url=None,
            system_database_engine=queue_engine(settings),
            application_version="1",
            executor_id=self._name,
            serializer=_PlainJson(),
            log_level="ERROR",
            run_migrations=settings.is_sqlite,
            use_listen_notify=False,
            notification_listener_polling_interval_sec=0.5,
        )
        DBOS(config=config)
        logging.getLogger("dbos").handlers.clear()  # its own would keep a standard error that is gone by then
        DBOS.launch()
        for name, slots in (("heavy", 1), ("light", settings.worker_slots)):
            DBOS.register_queue(name, worker_concurrency=slots, polling_interval_sec=0.2, on_conflict="always_update")
        # A sweep of the house may be killed anywhere, so its end is not waited for as that of a hand-over is.
        for work, patience in ((self._sweep_until_stopped, 20.0), (self._keep_house, 1.0)):
            thread = threading.Thread(target=work, name=f"tunery-{work.__name__[1:]}", daemon=True)
            self._threads[thread] = patience
            thread.start()

    def wake(self) -> None:
        """Look for new rows now rather than at the next sweep."""
        with self._starting:
            if self._starts_when_woken:
                try:
                    self.start()
                    self._starts_when_woken = False
                except Conflict:
                    log.info("another worker of this name carries the jobs out")
                except Exception:  # noqa: BLE001 the deed that woke us is committed; the next call tries again
                    log.error("the worker did not start", traceback=traceback.format_exc())
        self._wake.set()

    def stop(self, seconds: float = 20) -> None:
        """End politely: running jobs are told to end, go back to the queue, and go on at the next start."""
        self._starts_when_woken = False
        self._stopping.set()
        self._wake.set()
        if self._lock is not None:
            for thread, patience in self._threads.items():
                thread.join(timeout=min(seconds, patience))
            DBOS.destroy(workflow_completion_timeout_sec=int(seconds))
            self._lock.close()
            self._lock = None
        self._leave_process()

    def carry_out(self, job_id: str, round_number: int) -> None:
        """Claim a job and run its handler; every end is written to the row, so that DBOS never sees an error."""
        claimed = self._claim(job_id, round_number)
        if claimed is None:
            return
        context = JobContext(self._ground, claimed, claimed.lease_token or "", self._stopping.is_set)
        self._running[job_id] = context.lease_token
        bound = log.bind(job=job_id, kind=claimed.kind, attempt=claimed.attempts)
        try:
            bound.info("job started")
            result = JOB_KINDS.get(claimed.kind).handler(context, dict(claimed.payload))
            self._finish(context, {"status": "succeeded", "result": result or {}})
        except LeaseLost:
            bound.warning("job was taken over by another worker")
        except Cancelled:
            if self._stopping.is_set():
                self._put_back(context)
            else:
                self._finish(context, {"status": "cancelled"})
        except TuneryError as error:
            bound.warning("job failed", code=error.code, message=error.message)
            problem = {"code": error.code, "detail": error.message, **error.shown}
            self._finish(context, {"status": "failed", "error": problem})
        except Exception as error:  # noqa: BLE001 whatever a handler does, its row must tell
            bound.error("job failed by a fault of ours", traceback=traceback.format_exc())
            what = f"a fault of ours ({type(error).__name__}); the worker's log tells more under job {job_id}"
            problem = {"code": "internal", "detail": what}
            self._finish(context, {"status": "failed", "error": problem})
        finally:
            self._running.pop(job_id, None)
            self.wake()

    def _claim(self, job_id: str, round_number: int) -> Job | None:
        with self._ground.database.system_session("a worker claims a job") as session:
            row = session.get(Job, job_id, with_for_update=True)
            if row is None or row.round != round_number or row.status not in ("queued", "running"):
                return None
            crashed = row.status == "running"
            if crashed and not self._may_take_over(row):
                return None
            row.rest(row.heartbeat_at)
            row.attempts += 1
            row.crashes += int(crashed)
            row.lease_token, row.lease_owner = new_id(), self._name
            row.status, row.heartbeat_at = "running", now()
            row.resumed_at = now()
            row.started_at = row.started_at or row.resumed_at
            limit = self._ground.settings.max_job_crashes
            if row.crashes >= limit:
                row.status, row.finished_at, row.resumed_at = "failed", now(), None
                row.error = {"code": "internal", "detail": f"the worker died {limit} times in a row on this job"}
                return None
            return row

    def _may_take_over(self, row: Job) -> bool:
        if row.id in self._running:
            return False
        if row.lease_owner == self._name:
            return True  # we hold the lock of this name, so the attempt before us is dead
        age = now() - (row.heartbeat_at or row.created_at)
        return age > timedelta(seconds=self._ground.settings.lease_seconds)

    def _finish(self, context: JobContext, values: dict[str, Any]) -> None:
        try:
            with context.session() as session:
                self._end_attempt(session, context, {**values, "finished_at": now()})
                session.add(JobEvent(job_id=context.job_id, data={"type": values["status"]}, at=now()))
        except LeaseLost:
            log.warning("a finished job had been taken over; its end was not written", job=context.job_id)

    def _put_back(self, context: JobContext) -> None:
        with context.session() as session:
            self._end_attempt(session, context, {"status": "queued", "handed_at": None, "round": Job.round + 1})

    @staticmethod
    def _end_attempt(session: TenantSession, context: JobContext, values: dict[str, Any]) -> None:
        row = session.get_one(Job, context.job_id)
        row.rest()
        row.lease_token = None
        for name, value in values.items():
            setattr(row, name, value)

    def _sweep_until_stopped(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                self._hand_over()
                self._heartbeat()
                self._take_over()
                failures = 0
            except Exception:  # noqa: BLE001 the sweep outlives a database that is away for a while
                failures += 1
                log.warning("the sweep failed; it tries again", failures=failures, traceback=traceback.format_exc())
            self._wake.wait(timeout=min(0.5 * (1 + failures), 10))
            self._wake.clear()

    def _keep_house(self) -> None:
        """Look every few minutes whether a day has passed since the last time, and for scheduled jobs that are due."""
        while True:
            try:
                keep_house(self._ground, stopping=self._stopping.is_set)
            except OSError:
                log.warning("the home could not be swept; it is tried again", traceback=traceback.format_exc())
            enqueue_due(self._ground, self._stopping.is_set)
            if self._stopping.wait(timeout=300):
                return

    def _hand_over(self) -> None:
        known = JOB_KINDS.names()
        with self._ground.database.system_session("the sweep hands jobs over") as session:
            statement = sa.select(Job).where(Job.status == "queued", Job.handed_at.is_(None)).order_by(Job.created_at)
            for row in session.scalars(statement.limit(100)).all():
                if row.kind not in known:
                    row.status, row.finished_at = "failed", now()
                    row.error = {"code": "not_found", "detail": f"this worker knows no jobs of kind {row.kind!r}"}
                    continue
                with SetWorkflowID(f"{row.id}.{row.round}"):
                    queue = "heavy" if JOB_KINDS.get(row.kind).heavy else "light"
                    DBOS.enqueue_workflow(queue, _carry_out, row.id, row.round)
                row.handed_at = now()

    def _heartbeat(self) -> None:
        if self._running:
            with self._ground.database.system_session("a worker keeps its leases") as session:
                statement = sa.update(Job).where(Job.lease_token.in_(list(self._running.values())))
                session.execute(statement.values(heartbeat_at=now(), updated_at=Job.updated_at))

    def _take_over(self) -> None:
        limit = now() - timedelta(seconds=self._ground.settings.lease_seconds)
        with self._ground.database.system_session("the sweep looks for dead workers") as session:
            statement = sa.select(Job).where(Job.status == "running", Job.heartbeat_at < limit)
            for row in session.scalars(statement.with_for_update(skip_locked=True)):
                if row.id not in self._running:
                    log.warning("taking over a job whose worker is gone", job=row.id, owner=row.lease_owner)
                    row.status, row.round, row.crashes = "queued", row.round + 1, row.crashes + 1
                    row.lease_token = row.handed_at = None
                    row.rest(row.heartbeat_at)

    def _take_process(self) -> None:
        global _current
        with _choosing:
            if _current not in (None, self):
                raise Refused(
                    "this process runs a Tunery of its own already; close that client before you open one of another "
                    "home, or serve the other home with `tunery serve`"
                )
            _current = self

    def _leave_process(self) -> None:
        global _current
        with _choosing:
            if _current is self:
                _current = None

    def _take_lock(self) -> IO[str]:
        path = self._ground.settings.folder() / f"worker-{self._name}.lock"
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise Conflict(f"a worker named {self._name!r} already runs on {path.parent}") from error
        return file
