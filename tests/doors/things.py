"""One of everything that a tenant can have, made through the door."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.doors.door import CANARY, Door, Person
from tests.registry.folders import make_adapter_folder, make_model_folder
from tests.serving import teller as _teller  # noqa: F401 importing it registers the engine
from tunery.evaluation.predictions import keep_predictions
from tunery.evaluation.tables import Evaluation, EvaluationScore
from tunery.kit.clock import now

ROWS = b"".join(
    json.dumps({"prompt": f"what is {n} plus {n}?", "completion": str(2 * n), "note": CANARY}).encode() + b"\n"
    for n in range(40)
)
CRITERION = {"metric": "exact_match", "threshold": 0.5, "minSamples": 2}


@dataclass(frozen=True)
class Things:
    """Ids and names of one tenant's things."""

    file: str
    base_id: str
    version_id: str
    model_id: str
    dataset_id: str
    dataset_version_id: str
    evaluation_id: str
    other_evaluation_id: str
    gate_id: str
    verdict_id: str
    deployment_id: str
    run_id: str
    pipeline_id: str
    upload_id: str
    erasure_id: str
    report_id: str
    attestation_id: str
    token_id: str
    token_key: str
    job_id: str
    base: str = "acme-base"
    model: str = "acme-tuned"
    dataset: str = "acme-rows"
    gate: str = "acme-gate"
    deployment: str = "acme-chat"


def upload(person: Person, data: bytes) -> str:
    """Upload bytes and return their digest."""
    data_of(person.http.put("/api/v1/files", content=data))
    return hashlib.sha256(data).hexdigest()


def data_of(answer: Any) -> Any:
    """Return the envelope's data of a success."""
    assert answer.is_success, answer.text
    return answer.json()["data"]


def register(person: Person, name: str, folder: Path, **wish: Any) -> dict[str, Any]:
    """Register a folder's files."""
    files = [{"path": p.name, "digest": upload(person, p.read_bytes())} for p in sorted(folder.iterdir())]
    return dict(data_of(person.http.post(f"/api/v1/models/{name}/versions", json={"files": files, **wish})))


def recipe(base: str, path: str = "rows.jsonl") -> dict[str, Any]:
    """Return a recipe that is valid."""
    return {"model": {"name": "made", "base_model": base}, "training_data": {"path": path}}


def make_things(door: Door, folder: Path) -> Things:
    """Make one of everything for ``acme``, through HTTP; jobs are carried out here, models are measured by hand."""
    admin = door["acme/admin"]
    http, tenant_id = admin.http, admin.actor.tenant_id
    said = {"description": CANARY, "changelog": CANARY, "metadata": {"note": CANARY}}
    base = register(admin, Things.base, make_model_folder(folder / "base"), isBase=True, **said)
    tuned = register(admin, Things.model, make_adapter_folder(folder / "adapter"), baseReference=Things.base, **said)
    file = upload(admin, ROWS)
    broken = upload(admin, ROWS + b'{"prompt": "' + CANARY.encode() + b"\n")
    wish = {"name": Things.dataset, "fileDigest": broken, "fileName": "rows.jsonl", "description": CANARY}
    wish["options"] = {"on_error": "quarantine"}
    job_id = data_of(http.post("/api/v1/datasets/import", json=wish))["jobId"]
    door.carry_out(tenant_id, job_id)
    rows = data_of(http.get(f"/api/v1/datasets/{Things.dataset}/versions"))[0]
    evaluations = [measured(door, admin, each["id"], rows["id"], score) for each, score in ((base, 0), (tuned, 1))]
    gate = data_of(
        http.post("/api/v1/gates", json={"name": Things.gate, "description": CANARY, "criteria": [CRITERION]})
    )
    verdict = data_of(http.post(f"/api/v1/gates/{Things.gate}/check", json={"version": tuned["id"]}))
    run = data_of(http.post("/api/v1/runs", json={"name": CANARY, "dataset": Things.dataset, "base": Things.base}))
    wish = {"version": tuned["id"], "name": Things.deployment, "engine": "teller"}
    deployment = data_of(http.post("/api/v1/deployments", json=wish))
    start = {"recipe": recipe(Things.base), "inputs": {"rows.jsonl": file}}
    pipeline = data_of(http.post("/api/v1/pipelines", json=start))
    token = data_of(http.post("/api/v1/tokens", json={"name": CANARY}))
    wish = {"digest": hashlib.sha256(b"parts to come").hexdigest(), "sizeBytes": 200_000, "partBytes": 65_536}
    upload_id = data_of(http.post("/api/v1/uploads", json=wish))["id"]
    wish = {"identifier": "nobody@example.org", "reason": CANARY}
    erasure_id = data_of(http.post("/api/v1/subjects/erase", json=wish))["jobId"]  # an erasure has its job's id
    door.carry_out(tenant_id, erasure_id)
    wish = {"rule": "SH-KNOW", "dataset": Things.dataset, "statement": CANARY}
    attestation_id = data_of(http.post("/api/v1/compliance/attestations", json=wish))["id"]
    report_id = data_of(http.post("/api/v1/compliance/validate", json={"datasetId": Things.dataset}))["reportId"]
    return Things(
        file=file,
        base_id=base["id"],
        version_id=tuned["id"],
        model_id=tuned["modelId"],
        dataset_id=data_of(http.get(f"/api/v1/datasets/{Things.dataset}"))["id"],
        dataset_version_id=rows["id"],
        evaluation_id=evaluations[1],
        other_evaluation_id=evaluations[0],
        gate_id=gate["id"],
        verdict_id=verdict["id"],
        deployment_id=deployment["id"],
        run_id=run["id"],
        pipeline_id=pipeline["id"],
        upload_id=upload_id,
        erasure_id=erasure_id,
        report_id=report_id,
        attestation_id=attestation_id,
        token_id=token["id"],
        token_key=token["keyId"],
        job_id=job_id,
    )


def measured(door: Door, person: Person, version_id: str, dataset_version_id: str, score: float) -> str:
    """Ask for an evaluation and write down its answers by hand, each worth ``score``."""
    wish = {"modelVersionId": version_id, "dataset": dataset_version_id}
    evaluation_id = str(data_of(person.http.post("/api/v1/evaluations", json=wish))["id"])
    answers = [
        {"row_id": str(n), "prompt": CANARY, "prediction": str(score), "reference": "1", "metrics": {}}
        for n in range(4)
    ]
    kept = keep_predictions(door.ground, person.actor.tenant_id, answers)
    with door.ground.database.session(person.actor.tenant_id) as session:
        values = {"status": "completed", "predictions_digest": kept.digest, "rows_digest": "1" * 64}
        statement = sa.update(Evaluation).where(Evaluation.id == evaluation_id)
        session.execute(statement.values(**values, sample_count=4, overall_score=score, evaluated_at=now()))
        session.add(
            EvaluationScore(
                evaluation_id=evaluation_id,
                metric="exact_match",
                direction="higher",
                value=float(score),
                n=4,
            )
        )
    return evaluation_id


@pytest.fixture(scope="module")
def things(door: Door, tmp_path_factory: pytest.TempPathFactory) -> Things:
    """One of everything of ``acme``."""
    return make_things(door, tmp_path_factory.mktemp("acme"))


@pytest.fixture
def admin(door: Door) -> Person:
    """An administrator of ``acme``."""
    return door["acme/admin"]


def count_of(door: Door, table: type[Any]) -> int:
    """Return how many rows of a table ``acme`` has."""
    with door.ground.database.session(door["acme/admin"].actor.tenant_id, read_only=True) as session:
        return session.scalar(sa.select(sa.func.count(table.id))) or 0
