"""Evaluations, gates and promotions over HTTP, with each evaluation's job carried out in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.evaluation.conftest import Lab
from tests.fixtures import make_actor
from tunery.kit.actor import Actor
from tunery.kit.ids import new_id
from tunery.platform.http.mount import mount_routes
from tunery.platform.http.problems import answer_problems
from tunery.platform.jobs import JOB_KINDS, Job, JobContext
from tunery.promotion import routes as promotion_routes

__all__ = ["promotion_routes"]


@dataclass
class Door:
    """The routes on a lab; ``actor`` is the one who asks."""

    lab: Lab
    client: TestClient
    actor: Actor

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, status: int = 200) -> Any:
        """Ask, check the status, and return the answer's data, or the problem."""
        answer = self.client.request(method, f"/api/v1/{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()["data"] if status < 400 else answer.json()

    def evaluate(self, version: str, **wish: Any) -> dict[str, Any]:
        """Ask for an evaluation and carry out its job as a worker would."""
        body = {"modelVersionId": version, "dataset": "numbers", "engine": "parrot", **wish}
        made = self.ask("POST", "evaluations", body, 202)
        assert made["status"] == "pending"
        with self.lab.ground.database.session(self.lab.actor.tenant_id) as session:
            row = session.get_one(Job, made["jobId"])
            row.status, row.lease_token = "running", new_id()
        context = JobContext(self.lab.ground, row, row.lease_token, lambda: False)
        JOB_KINDS.get(row.kind).handler(context, dict(row.payload))
        found: dict[str, Any] = self.ask("GET", f"evaluations/{made['id']}")
        return found


@pytest.fixture
def door(lab: Lab) -> Door:
    """The routes, asked by the lab's own administrator."""
    app = FastAPI()
    made = Door(lab, TestClient(app, raise_server_exceptions=False), lab.actor)
    answer_problems(app)
    mount_routes(app, lab.ground, {}, lambda _: made.actor, lambda *_: None, lambda: None)
    return made


def test_from_evaluation_to_promotion(door: Door) -> None:
    door.lab.numbers()
    base, tuned = door.evaluate("small"), door.evaluate("tuned", prompt={"style": "completion", "maxTokens": 9})
    assert tuned["status"] == "completed"
    assert tuned["maxTokens"] == 9
    assert tuned["prompt"]["style"] == "completion"
    assert tuned["scores"][0]["n"] == tuned["sampleCount"] == 40
    assert tuned["taskScores"] == [
        {"taskName": "numbers/test", "metric": "exact_match", "score": tuned["overallScore"], "sampleCount": 40}
    ]
    listed = door.ask("GET", "evaluations?model=tuned:1.0.0")
    assert [one["id"] for one in listed] == [tuned["id"]]
    rows = door.ask("GET", f"evaluations/{tuned['id']}/predictions?limit=5&offset=38")
    assert len(rows) == 2
    assert set(rows[0]) >= {"rowId", "prompt", "prediction", "reference", "metrics", "completionTokens"}
    wish = {"baselineId": base["id"], "candidateId": tuned["id"]}
    (difference,) = door.ask("POST", "evaluations/compare", wish)
    assert difference["better"] is True
    assert difference["test"] == "mcnemar_exact"
    criteria = [{"metric": "exact_match", "margin": 0.1, "confidence": True, "minSamples": 40}]
    assert door.ask("POST", "gates", {"name": "fit", "criteria": criteria}, 201)["criteria"][0]["direction"] == "higher"
    problem = door.ask("POST", "models/tuned/versions/1.0.0/promote", {"toStage": "testing"}, 409)
    assert problem["code"] == "gate_failed"
    verdict = door.ask("POST", "gates/fit/check", {"version": "tuned:1.0.0"})
    assert verdict["passed"] is True
    assert verdict["evaluations"]["base"]["evaluationId"] == base["id"]
    assert [one["id"] for one in door.ask("GET", "gates/fit")["verdicts"]] == [verdict["id"]]
    assert [one["name"] for one in door.ask("GET", "gates")] == ["fit"]
    promoted = door.ask("POST", "models/tuned/versions/1.0.0/promote", {"toStage": "testing"})
    assert promoted["stage"] == "testing"


def test_faults_are_named_before_anything_starts(door: Door) -> None:
    door.lab.numbers()
    body = {"modelVersionId": "tuned", "dataset": "numbers", "metrics": ["exact_mach"], "engine": "parot"}
    problem = door.ask("POST", "evaluations", body, 422)
    assert "did you mean 'exact_match'" in problem["detail"]
    assert "did you mean 'parrot'" in problem["detail"]
    problem = door.ask("POST", "gates", {"name": "fit", "criteria": [{"metric": "exact_match"}]}, 422)
    assert "needs a threshold or a margin" in problem["detail"]
    door.ask("POST", "gates", {"name": "fit", "criteria": []}, 422)
    door.ask("GET", "evaluations/nothing", status=404)
    door.ask("GET", f"evaluations/{new_id()}", status=404)


def test_predictions_of_an_evaluation_under_way_are_refused(door: Door) -> None:
    door.lab.numbers()
    door.ask("GET", f"evaluations/{door.lab.open('tuned')}/predictions", status=409)


def test_a_viewer_sees_and_changes_nothing(door: Door) -> None:
    door.lab.numbers()
    door.actor = make_actor(door.lab.ground, "acme", "viewer")
    assert door.ask("GET", "evaluations") == []
    body = {"modelVersionId": "tuned", "dataset": "numbers"}
    assert door.ask("POST", "evaluations", body, 403)["code"] == "forbidden"
    assert door.ask("POST", "gates/fit/check", {"version": "tuned"}, 403)["code"] == "forbidden"


def test_another_tenant_gets_what_one_gets_for_what_does_not_exist(door: Door, stranger: Actor) -> None:
    door.lab.numbers()
    tuned = door.evaluate("tuned")
    door.ask("POST", "gates", {"name": "fit", "criteria": [{"metric": "exact_match", "threshold": 0}]}, 201)
    door.actor = stranger
    for method, path, body in (
        ("GET", f"evaluations/{tuned['id']}", None),
        ("GET", f"evaluations/{tuned['id']}/predictions", None),
        ("GET", "evaluations?model=tuned", None),
        ("POST", "evaluations/compare", {"baselineId": tuned["id"], "candidateId": tuned["id"]}),
        ("POST", "evaluations", {"modelVersionId": tuned["modelVersionId"], "dataset": "numbers"}),
        ("GET", "gates/fit", None),
        ("POST", "gates/fit/check", {"version": "tuned"}),
        ("POST", "models/tuned/versions/1.0.0/promote", {"toStage": "testing"}),
    ):
        door.ask(method, path, body, 404)
    assert door.ask("GET", "evaluations") == []
    assert door.ask("GET", "gates") == []
