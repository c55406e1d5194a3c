"""A fault of ours tells nothing of the inside."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.doors.door import Door, Person
from tests.doors.things import CRITERION, data_of
from tunery.errors import InternalError
from tunery.platform.compute import ENTRIES, run_in_child
from tunery.platform.jobs import JobContext, enqueue_job, job
from tunery.platform.jobs.worker import Worker

GATE = {"name": "a-gate", "criteria": [CRITERION]}


def test_a_fault_of_ours_tells_only_its_request_id(door: Door, admin: Person) -> None:
    """The table of gates goes away under the running house."""
    settings = door.ground.settings
    engine = sa.create_engine(
        sa.make_url(settings.database_admin_url or settings.effective_database_url).set(
            drivername="sqlite" if settings.is_sqlite else "postgresql+psycopg"
        )
    )
    try:
        with engine.begin() as connection:
            connection.execute(sa.text("alter table gates rename to lost"))
        answer = admin.http.get("/api/v1/gates")
        ready = door.anonymous.get("/readyz")
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text("alter table lost rename to gates"))
        engine.dispose()
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert len(answer.headers["x-request-id"]) == 36
    assert answer.json().keys() == {"type", "title", "status", "code", "detail"}
    assert "gates" not in answer.text.lower()
    assert ready.status_code == 200
    assert admin.http.get("/api/v1/gates").status_code == 200


@pytest.mark.parametrize("door", ["postgres"], indirect=True)  # the embedded database is never away
def test_a_database_that_is_away_is_a_503_and_comes_back(door: Door, admin: Person) -> None:
    settings = door.ground.settings
    url = sa.make_url(settings.database_admin_url).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as owner:
        try:
            owner.execute(sa.text(f'alter database "{url.database}" allow_connections false'))
            ended = sa.text("select pg_terminate_backend(pid) from pg_stat_activity where datname = :name")
            owner.execute(ended, {"name": url.database})
            calls = [admin.http.get(path) for path in ("/api/v1/gates", "/api/v1/jobs")]
            calls += [door.anonymous.get("/readyz"), admin.http.post("/api/v1/gates", json=GATE)]
        finally:
            owner.execute(sa.text(f'alter database "{url.database}" allow_connections true'))
    engine.dispose()
    for answer in calls:
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
        assert answer.headers["retry-after"] == "2"
        assert str(url.database) not in answer.text
    assert door.anonymous.get("/readyz").status_code == 200
    assert admin.http.get("/api/v1/gates").status_code == 200


def test_a_job_that_fails_by_a_fault_of_ours_tells_its_id_and_no_more(door: Door, admin: Person) -> None:
    with door.ground.database.session(admin.actor.tenant_id) as session:
        job_id = enqueue_job(session, admin.actor, "tests.fault", {}).id
    Worker(door.ground).carry_out(job_id, 0)
    found = data_of(admin.http.get(f"/api/v1/jobs/{job_id}"))
    assert found["status"] == "failed"
    assert found["error"] == {
        "code": "internal",
        "detail": f"a fault of ours (RuntimeError); the worker's log tells more under job {job_id}",
    }


def test_a_heavy_step_that_fails_names_its_log_and_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # steps run without the current folder
    ENTRIES.register("tests.fault")("tests.doors.test_faults:fault")
    with pytest.raises(InternalError) as caught:
        run_in_child(
            "tests.fault",
            {"home": str(tmp_path)},
            log_path=tmp_path / "step.log",
            on_event=print,
            cancelled=lambda: False,
        )
    assert caught.value.message == "tests.fault met a fault of ours (RuntimeError) (log: step.log)"
    assert caught.value.shown == {}
    assert str(tmp_path) in (tmp_path / "step.log").read_text()


@job("tests.fault")
def _fault(context: JobContext, payload: dict[str, Any]) -> None:
    raise RuntimeError(f"cannot open {context.ground.settings.home}")


def fault(order: dict[str, Any], emit: Any, cancelled: Any) -> dict[str, Any]:
    """Fail, and say where."""
    raise RuntimeError(f"cannot open {order['home']}")
