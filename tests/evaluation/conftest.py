"""A registry with a base and an adapter, a dataset, an engine that answers by rule, and jobs to run evaluations in."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.parrot import Parrot
from tests.registry.conftest import Shelf
from tests.weights.conftest import make_adapter, make_model, tiny_llama, tokenizer_dir
from tunery.datasets.imports import execute_import
from tunery.datasets.schemas import ImportOptions
from tunery.datasets.tables import DatasetVersion
from tunery.datasets.views import DatasetImport
from tunery.evaluation import jobs, routes
from tunery.evaluation.operations import create_evaluation
from tunery.evaluation.runs import execute_evaluation
from tunery.evaluation.schemas import EvaluationCreate
from tunery.evaluation.tables import Evaluation
from tunery.inference.ports import ENGINES
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.kit.ids import new_id
from tunery.platform.ground import Ground
from tunery.platform.jobs import Job, JobContext

__all__ = ["jobs", "make_adapter", "make_model", "routes", "tiny_llama", "tokenizer_dir"]

TEST_ROWS = 40


def question(number: int) -> str:
    """A question that is no near-duplicate of another one."""
    words = random.Random(number).choices("abcdefghijklmnopqrstuvwxyz", k=30)
    return "".join(words) + f" in {number}"


@dataclass
class Lab:
    """Everything an evaluation needs."""

    ground: Ground
    actor: Actor
    shelf: Shelf
    parrot: Parrot

    def context(self, *, stopping: Callable[[], bool] = lambda: False, cancelled: bool = False) -> JobContext:
        """A job that runs, held by a lease."""
        lease = new_id()
        with self.ground.database.session(self.actor.tenant_id) as session:
            row = Job(
                kind="test",
                payload={},
                status="running",
                lease_token=lease,
                created_by=self.actor.name,
                cancel_requested_at=now() if cancelled else None,
            )
            session.add(row)
            session.flush()
        return JobContext(self.ground, row, lease, stopping)

    def import_rows(self, rows: list[dict[str, Any]], name: str = "numbers", **options: Any) -> DatasetVersion:
        """Import rows as a version of a dataset."""
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        digest = self.ground.blobs.put(self.actor.tenant_id, data).digest
        defaults = {"test_split": TEST_ROWS, "validation_split": 0}
        wish = DatasetImport(
            name=name, file_digest=digest, file_name=f"{name}.jsonl", options=ImportOptions(**(defaults | options))
        )
        return execute_import(self.context(), wish)

    def numbers(self, count: int = 60) -> DatasetVersion:
        """Import ``count`` questions with their answers; 40 of them are held out."""
        return self.import_rows([{"prompt": question(n), "completion": f"out {n}"} for n in range(count)])

    def open(self, version: str, dataset: str = "numbers", **wish: Any) -> str:
        """Write an evaluation and return its id."""
        body = EvaluationCreate(model_version_id=version, dataset=dataset, **{"engine": "parrot", **wish})
        with self.ground.database.session(self.actor.tenant_id) as session:
            return create_evaluation(session, self.ground, self.actor, body).id

    def evaluate(self, version: str, dataset: str = "numbers", **wish: Any) -> Evaluation:
        """Write an evaluation and carry it out."""
        return execute_evaluation(self.context(), self.open(version, dataset, **wish))

    def look(self, evaluation_id: str) -> Evaluation:
        """Return an evaluation as it is."""
        with self.ground.database.session(self.actor.tenant_id, read_only=True) as session:
            return session.get_one(Evaluation, evaluation_id)


@pytest.fixture
def lab(ground: Ground, actor: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab with ``small:1.0.0``, its adapter ``tuned:1.0.0``, and the engine ``parrot``."""
    ENGINES.names()
    parrot = Parrot()
    monkeypatch.setitem(ENGINES._found, parrot.name, parrot)
    made = Lab(ground, actor, Shelf(ground, actor, tmp_path / "shelf"), parrot)
    made.shelf.base()
    made.shelf.adapter()
    return made
