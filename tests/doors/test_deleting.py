"""A version that something needs stays; the answer names what needs it."""

from __future__ import annotations

from pathlib import Path

from tests.doors.door import Person
from tests.doors.things import Things, data_of, register
from tests.registry.folders import make_model_folder


def test_what_is_deployed_or_stood_on_is_deleted_only_after_its_users(admin: Person, things: Things) -> None:
    http, version = admin.http, f"/api/v1/models/{things.model}/versions/1.0.0"
    base = f"/api/v1/models/{things.base}/versions/1.0.0"
    users = {
        f"deployment {things.deployment}": version,
        f"version {things.model}:1.0.0": base,
        f"run {things.run_id}": base,
        f"pipeline made ({things.pipeline_id})": base,
    }
    for user, path in users.items():
        answer = http.delete(path)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert user in answer.json()["detail"]
        assert data_of(http.get(path))["status"] == "ready"
    data_of(http.delete(f"/api/v1/deployments/{things.deployment}"))
    data_of(http.post(f"/api/v1/runs/{things.run_id}/cancel"))
    data_of(http.post(f"/api/v1/pipelines/{things.pipeline_id}/cancel"))
    assert data_of(http.delete(version))["status"] == "deleted"
    assert data_of(http.delete(base))["status"] == "deleted"
    assert [http.get(path).status_code for path in (version, base)] == [404, 404]


def test_every_deployment_is_named(admin: Person, tmp_path: Path) -> None:
    register(admin, "served", make_model_folder(tmp_path, seed=5))
    for name in ("one", "two"):
        data_of(admin.http.post("/api/v1/deployments", json={"version": "served", "name": name, "engine": "teller"}))
    answer = admin.http.delete("/api/v1/models/served/versions/1.0.0").json()
    assert answer["used_by"] == ["deployment one", "deployment two"]


def test_what_is_being_evaluated_stays_until_that_is_cancelled(admin: Person, things: Things, tmp_path: Path) -> None:
    register(admin, "judged", make_model_folder(tmp_path, seed=6), isBase=True)
    wish = {"modelVersionId": "judged", "dataset": things.dataset}
    evaluation = data_of(admin.http.post("/api/v1/evaluations", json=wish))
    path = "/api/v1/models/judged/versions/1.0.0"
    assert admin.http.delete(path).json()["used_by"] == [f"evaluation {evaluation['id']}"]
    data_of(admin.http.post(f"/api/v1/jobs/{evaluation['jobId']}/cancel"))
    assert data_of(admin.http.delete(path))["status"] == "deleted"
