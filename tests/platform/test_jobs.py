"""Jobs: rows first, carried out once, taken up again after a crash."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

import tests.platform.job_script  # noqa: F401 registers the kind
from tunery.errors import Refused
from tunery.kit.actor import Actor
from tunery.platform.ground import Ground
from tunery.platform.jobs import Job, JobEvent, cancel_job, enqueue_job, retry_job


def _environment(ground: Ground, **more: str) -> dict[str, str]:
    settings = ground.settings
    return {
        **os.environ,
        "TUNERY_HOME": str(settings.home),
        "TUNERY_DATABASE_URL": settings.database_url,
        "TUNERY_LEASE_SECONDS": "2",
        **more,
    }


@contextmanager
def _worker(ground: Ground, **more: str) -> Iterator[subprocess.Popen[str]]:
    script, pipe = [sys.executable, "-m", "tests.platform.job_script"], subprocess.PIPE
    process = subprocess.Popen(script, env=_environment(ground, **more), stdin=pipe, stdout=pipe, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        yield process
    finally:
        _kill(process)


def _kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def _wait(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def _enqueue(ground: Ground, actor: Actor, path: Path, steps: int, *, holds: bool = False) -> str:
    with ground.database.session(actor.tenant_id) as session:
        return enqueue_job(session, actor, "tests.steps", {"path": str(path), "steps": steps, "holds": holds}).id


def _row(ground: Ground, actor: Actor, job_id: str) -> Job:
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        row = session.get(Job, job_id)
        assert row is not None
        return row


def test_a_job_runs_and_reports(ground: Ground, actor: Actor, tmp_path: Path) -> None:
    job_id = _enqueue(ground, actor, tmp_path / "lines", 3)
    with _worker(ground):
        _wait(lambda: _row(ground, actor, job_id).status == "succeeded")
    assert (tmp_path / "lines").read_text().split() == ["0", "1", "2"]
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        events = session.scalars(select(JobEvent).order_by(JobEvent.number)).all()
    assert [e.data.get("step") for e in events] == [0, 1, 2, None]
    assert events[-1].data == {"type": "succeeded"}


def test_a_job_goes_on_after_kill_9(ground: Ground, actor: Actor, tmp_path: Path) -> None:
    job_id = _enqueue(ground, actor, tmp_path / "lines", 4, holds=True)
    with _worker(ground) as process:
        _wait(lambda: (tmp_path / "lines").exists())
        _kill(process)
    (tmp_path / "go").touch()
    assert _row(ground, actor, job_id).status == "running"
    with _worker(ground):
        _wait(lambda: _row(ground, actor, job_id).status == "succeeded")
    assert (tmp_path / "lines").read_text().split() == ["0", "1", "2", "3"]
    assert _row(ground, actor, job_id).attempts == 2


def test_time_between_two_attempts_is_not_time_worked(ground: Ground, actor: Actor, tmp_path: Path) -> None:
    """The worker works until a heartbeat of it stands, dies, and an hour later the next one ends the job."""
    job_id, began = _enqueue(ground, actor, tmp_path / "lines", 4, holds=True), time.monotonic()

    def worked() -> float:
        row = _row(ground, actor, job_id)
        return (row.heartbeat_at - row.resumed_at).total_seconds() if row.resumed_at else 0

    with _worker(ground) as process:
        _wait(lambda: worked() > 0.1)
        _kill(process)
    before = worked()
    (tmp_path / "go").touch()
    with ground.database.session(actor.tenant_id) as session:
        row = session.get_one(Job, job_id)
        for name in ("started_at", "resumed_at", "heartbeat_at"):
            setattr(row, name, getattr(row, name) - timedelta(hours=1))
    with _worker(ground):
        _wait(lambda: _row(ground, actor, job_id).status == "succeeded")
    row = _row(ground, actor, job_id)
    assert (row.finished_at - row.started_at).total_seconds() > 3600
    assert before < row.seconds < time.monotonic() - began


def test_a_worker_of_another_name_takes_over_from_a_dead_one(ground: Ground, actor: Actor, tmp_path: Path) -> None:
    job_id = _enqueue(ground, actor, tmp_path / "lines", 4, holds=True)
    with _worker(ground, TUNERY_WORKER_NAME="one") as process:
        _wait(lambda: (tmp_path / "lines").exists())
        _kill(process)
    (tmp_path / "go").touch()
    with _worker(ground, TUNERY_WORKER_NAME="two"):
        _wait(lambda: _row(ground, actor, job_id).status == "succeeded")
    row = _row(ground, actor, job_id)
    assert row.lease_owner == "two"
    assert (tmp_path / "lines").read_text().split() == ["0", "1", "2", "3"]


def test_a_job_that_always_kills_its_worker_is_given_up(ground: Ground, actor: Actor, tmp_path: Path) -> None:
    job_id = _enqueue(ground, actor, tmp_path / "lines", 1)
    with ground.database.session(actor.tenant_id) as session:
        row = session.get(Job, job_id)
        assert row is not None
        row.status, row.crashes, row.handed_at = "running", 4, row.created_at
        row.heartbeat_at = row.created_at.replace(year=2020)
    with _worker(ground, TUNERY_MAX_JOB_CRASHES="5"):
        _wait(lambda: _row(ground, actor, job_id).status == "failed")
    assert "died 5 times" in (_row(ground, actor, job_id).error or {})["detail"]


def test_a_running_job_is_cancelled_and_goes_on_when_retried(ground: Ground, actor: Actor, tmp_path: Path) -> None:
    job_id = _enqueue(ground, actor, tmp_path / "lines", 6, holds=True)
    with _worker(ground):
        _wait(lambda: (tmp_path / "lines").exists())
        with ground.database.session(actor.tenant_id) as session:
            cancel_job(session, job_id)
            cancel_job(session, job_id)
        _wait(lambda: _row(ground, actor, job_id).status == "cancelled")
        assert (tmp_path / "lines").read_text().split() == ["0"]
        (tmp_path / "go").touch()
        with ground.database.session(actor.tenant_id) as session:
            retry_job(session, job_id)
        _wait(lambda: _row(ground, actor, job_id).status == "succeeded")
    assert (tmp_path / "lines").read_text().split() == ["0", "1", "2", "3", "4", "5"]


def test_a_queued_job_is_cancelled_at_once_and_a_finished_one_not_at_all(
    ground: Ground, actor: Actor, tmp_path: Path
) -> None:
    job_id = _enqueue(ground, actor, tmp_path / "lines", 1)
    with ground.database.session(actor.tenant_id) as session:
        assert cancel_job(session, job_id).status == "cancelled"
        row = session.get(Job, job_id)
        assert row is not None
        row.status = "succeeded"
    with pytest.raises(Refused), ground.database.session(actor.tenant_id) as session:
        row = session.get(Job, job_id)
        row.cancel_requested_at = None
        cancel_job(session, job_id)


def test_a_stopped_worker_puts_its_job_back(ground: Ground, actor: Actor, tmp_path: Path) -> None:
    job_id = _enqueue(ground, actor, tmp_path / "lines", 4, holds=True)
    with _worker(ground) as process:
        _wait(lambda: (tmp_path / "lines").exists())
        process.communicate(timeout=60)
        assert process.returncode == 0
    (tmp_path / "go").touch()
    assert _row(ground, actor, job_id).status == "queued"
    with _worker(ground):
        _wait(lambda: _row(ground, actor, job_id).status == "succeeded")
    assert (tmp_path / "lines").read_text().split() == ["0", "1", "2", "3"]
