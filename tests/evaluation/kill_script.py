"""Carries out one evaluation in a process of its own as far as it is told, so that it can be killed on the way."""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

from tests.evaluation.parrot import Parrot
from tunery.evaluation.runs import execute_evaluation
from tunery.inference.ports import ENGINES
from tunery.platform.ground import Ground
from tunery.platform.jobs import Job, JobContext
from tunery.rooms import load_rooms
from tunery.settings import Settings


class TiredParrot(Parrot):
    """Answers so many rows, says so at each, and hangs at the next."""

    def __init__(self, answers: int) -> None:
        super().__init__()
        self._left = iter(range(answers))
        self._lock = threading.Lock()

    def respond(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self._lock:
            hangs = next(self._left, None) is None
        if hangs:
            threading.Event().wait()
        answer = super().respond(path, body)
        os.write(1, b".")
        return answer


def main(order: dict[str, Any]) -> None:
    """Run the evaluation that the order names, in the job that it names."""
    load_rooms()
    ENGINES.register("parrot")(TiredParrot(order["answers"]))
    ground = Ground.build(Settings(_env_file=None))
    with ground.database.session(order["tenant_id"], read_only=True) as session:
        row = session.get_one(Job, order["job_id"])
    execute_evaluation(JobContext(ground, row, row.lease_token or "", lambda: False), order["evaluation_id"])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
