"""``kill -9`` in the middle of an evaluation costs a few answers and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.doors.door import until
from tests.evaluation.conftest import Lab
from tunery.evaluation.predictions import read_predictions
from tunery.evaluation.runs import execute_evaluation

LONG = pytest.mark.long


@pytest.mark.parametrize("answers_before_the_kill", [pytest.param(1, marks=LONG), 20, pytest.param(33, marks=LONG)])
def test_a_killed_evaluation_ends_as_an_uninterrupted_one(lab: Lab, answers_before_the_kill: int) -> None:
    lab.numbers()
    evaluation_id = lab.open("tuned")
    order = {
        "tenant_id": lab.actor.tenant_id,
        "job_id": lab.context().job_id,
        "evaluation_id": evaluation_id,
        "answers": answers_before_the_kill,
    }
    settings = lab.ground.settings
    environment = {**os.environ, "TUNERY_HOME": str(settings.home), "TUNERY_DATABASE_URL": settings.database_url}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.evaluation.kill_script", json.dumps(order)],
        env=environment,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert len(process.stdout.read(answers_before_the_kill)) == answers_before_the_kill
    path = settings.folder("evaluations", evaluation_id) / "answers.jsonl"

    def count() -> int:
        return path.read_bytes().count(b"\n") if path.exists() else 0

    # Answers go to the disk in eights, and nine are under way at once: at most 8 + 9 can be lost.
    until(lambda: count() >= answers_before_the_kill - 17)
    process.kill()
    process.wait()
    kept = count()
    assert lab.look(evaluation_id).status == "running"
    resumed = execute_evaluation(lab.context(), evaluation_id)
    assert len(lab.parrot.asked) == 40 - kept

    def predictions(digest: str | None) -> list[tuple[str, str]]:
        rows = read_predictions(lab.ground, lab.actor.tenant_id, digest or "")
        return [(row["row_id"], row["prediction"]) for row in rows]

    whole = lab.evaluate("tuned")
    assert predictions(resumed.predictions_digest) == predictions(whole.predictions_digest)
    assert resumed.metrics == whole.metrics
