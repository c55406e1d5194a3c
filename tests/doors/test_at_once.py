"""The same call again, many at the same moment, and many who never end."""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from tests.doors.door import Door, Person, until
from tests.doors.things import CRITERION, Things, count_of, data_of, register, upload
from tests.registry.folders import make_model_folder
from tunery.audit import AuditEntry
from tunery.kit.clock import now
from tunery.platform.housekeeping import SWEEPS
from tunery.platform.http.idempotency import IdempotencyKey
from tunery.platform.jobs import Job


def test_a_call_repeated_with_its_key_is_done_once(door: Door, admin: Person, things: Things) -> None:
    wish = {"name": "again", "fileDigest": things.file, "fileName": "rows.jsonl"}
    before = count_of(door, Job)
    answers = [_post(admin, "datasets/import", wish, "key-1") for _ in range(3)]
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert {answer.status_code for answer in answers} == {202}
    assert count_of(door, Job) == before + 1


def test_a_key_with_another_call_is_a_conflict(door: Door, admin: Person, things: Things) -> None:
    wish = {"name": "again", "fileDigest": things.file, "fileName": "rows.jsonl"}
    data_of(_post(admin, "datasets/import", wish, "key-2"))
    before = count_of(door, Job)
    answer = _post(admin, "datasets/import", {**wish, "license": "MIT"}, "key-2")
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_mismatch")
    assert count_of(door, Job) == before
    data_of(_post(admin, "gates", {"name": "keyed", "criteria": [CRITERION]}, "key-2"))  # another operation


def test_twenty_at_once_with_one_key_are_done_once(door: Door, admin: Person, things: Things) -> None:
    wish = {"name": "parallel", "fileDigest": things.file, "fileName": "rows.jsonl"}
    before = count_of(door, Job)
    answers = _at_once(20, lambda _: _post(admin, "datasets/import", wish, "key-3"))
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.json()["data"]["jobId"] for answer in answers if answer.status_code == 202}) == 1
    assert count_of(door, Job) == before + 1
    assert _post(admin, "datasets/import", wish, "key-3").status_code == 202


def test_a_key_older_than_its_life_is_executed_anew(door: Door, admin: Person, things: Things) -> None:
    """Whether the daily sweep has come by or not; a younger key stays what it is."""
    wish = {"name": "aged", "fileDigest": things.file, "fileName": "rows.jsonl"}
    before = count_of(door, Job)
    young = _post(admin, "datasets/import", wish, "key-young").json()
    for number, swept in enumerate([False, True], 2):
        old = _post(admin, "datasets/import", wish, "key-old").json()
        with door.ground.database.session(admin.actor.tenant_id) as session:
            aged = now() - timedelta(seconds=door.ground.settings.idempotency_seconds + 1)
            key = IdempotencyKey.key == "key-old"
            session.execute(sa.update(IdempotencyKey).where(key).values(created_at=aged))
        if swept:
            assert SWEEPS.get("idempotency keys")(door.ground, 0) == 1
        assert _post(admin, "datasets/import", wish, "key-old").json()["data"]["jobId"] != old["data"]["jobId"]
        assert count_of(door, Job) == before + 1 + number
    assert _post(admin, "datasets/import", wish, "key-young").json() == young


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_a_key_that_is_none_is_refused(admin: Person, key: str) -> None:
    assert _post(admin, "gates", {"name": "a-gate", "criteria": [CRITERION]}, key).status_code == 400


def test_of_eight_who_move_a_stage_at_once_one_does(door: Door, admin: Person, tmp_path: Path) -> None:
    for number in range(4):
        made = register(admin, "raced", make_model_folder(tmp_path / str(number), seed=10 + number))
        path = f"/api/v1/models/raced/versions/{made['version']}/promote"
        wish = {"toStage": "deprecated", "seenStage": "development"}
        answers = _at_once(8, lambda _, path=path, wish=wish: admin.http.post(path, json=wish))
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
        assert {a.json()["code"] for a in answers if a.status_code == 409} == {"stale_state"}
    with door.ground.database.session(admin.actor.tenant_id, read_only=True) as session:
        moves = session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "model_stage_moved"))
        assert len([row for row in moves if row.resource.startswith("raced:")]) == 4


def test_of_eight_who_make_the_same_at_once_none_fails_by_our_fault(door: Door, admin: Person, tmp_path: Path) -> None:
    """Names that are taken in the same moment are conflicts; nobody's name is made twice."""
    files = [
        {"path": p.name, "digest": upload(admin, p.read_bytes())}
        for p in make_model_folder(tmp_path / "same", seed=20).iterdir()
    ]
    calls: list[tuple[str, Callable[[int], dict[str, Any]]]] = [
        ("gates", lambda n: {"name": "same", "criteria": [{**CRITERION, "threshold": n / 10}]}),
        ("models/same/versions", lambda n: {"files": files, "metadata": {"n": n}}),
        ("tokens", lambda n: {"name": str(n), "email": "new@acme.example"}),
    ]
    for path, body in calls:
        answers = _at_once(8, lambda n, path=path, body=body: admin.http.post(f"/api/v1/{path}", json=body(n)))
        assert {answer.status_code for answer in answers} <= {201, 409}, [a.text for a in answers]
        assert 201 in {answer.status_code for answer in answers}
    assert [v["version"] for v in data_of(admin.http.get("/api/v1/models/same/versions"))] == ["1.0.0"]


def test_many_who_watch_or_upload_slowly_keep_nobody_else_waiting(door: Door, admin: Person, things: Things) -> None:
    """60 streams of events that do not come and 60 uploads that do not go on: other calls are answered as before."""
    job_id = data_of(admin.http.get("/api/v1/jobs", params={"status": "queued"}))[0]["id"]
    head = f"HTTP/1.1\r\nHost: tunery\r\nAuthorization: Bearer {admin.token}\r\n"
    watch = f"GET /api/v1/jobs/{job_id}/events {head}\r\n"
    slow = f"PUT /api/v1/files {head}Content-Length: 1000\r\n\r\nx"
    with ExitStack() as held:
        for request in [watch] * 60 + [slow] * 60:
            connection = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            connection.connect(str(door.socket_path))
            connection.sendall(request.encode())
            if request == watch:
                connection.settimeout(60)
                assert connection.recv(12) == b"HTTP/1.1 200"
        assert door.anonymous.get("/readyz").status_code == 200
        assert len(data_of(admin.http.get("/api/v1/models"))) >= 2
    until(lambda: not list((door.ground.settings.home / "staging").iterdir()))


def _post(person: Person, path: str, body: Any, key: str) -> httpx.Response:
    return person.http.post(f"/api/v1/{path}", json=body, headers={"Idempotency-Key": key})


def _at_once(count: int, call: Callable[[int], httpx.Response]) -> list[httpx.Response]:
    together = threading.Barrier(count)

    def one(number: int) -> httpx.Response:
        together.wait(60)
        return call(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))
