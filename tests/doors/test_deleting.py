"""A version that something needs stays; the answer names what needs it."""

from __future__ import annotations

from pathlib import Path

from tests.doors.door import Person
from tests.doors.things import Things, data_of, register
from tests.registry.folders import make_model_folder


def test_what_is_deployed_or_stood_on_is_deleted_only_after_its_users(admin: Person, things: Things) -> None:
    http, version = admin.http, f"/api/v1/models/{things.model}/versions/1.0.0"
    base = f"/api/v1/models/{things.base}/versions/1.0.0"
    for path, user in ((version, f"deployment {things.deployment}"), (base, f"version {things.model}:1.0.0")):
        answer = http.delete(path)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert user in answer.json()["detail"]
        assert data_of(http.get(path))["status"] == "ready"
    data_of(http.delete(f"/api/v1/deployments/{things.deployment}"))
    assert data_of(http.delete(version))["status"] == "deleted"
    assert data_of(http.delete(base))["status"] == "deleted"
    assert [http.get(path).status_code for path in (version, base)] == [404, 404]


def test_every_deployment_is_named(admin: Person, tmp_path: Path) -> None:
    register(admin, "served", make_model_folder(tmp_path, seed=5))
    for name in ("one", "two"):
        data_of(admin.http.post("/api/v1/deployments", json={"version": "served", "name": name, "engine": "teller"}))
    answer = admin.http.delete("/api/v1/models/served/versions/1.0.0").json()
    assert answer["used_by"] == ["deployment one", "deployment two"]
