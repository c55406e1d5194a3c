"""Run by the job tests in a process of its own, so that it can be killed: a worker that works until its input ends."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import tunery.identity.tables  # noqa: F401 every tenant-owned table points there
from tunery.platform.ground import Ground
from tunery.platform.jobs import JobContext, job
from tunery.platform.jobs.worker import Worker
from tunery.platform.telemetry import configure_logging
from tunery.settings import Settings


@job("tests.steps")
def steps(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Write one line a step into the payload's file; a step that stands is not done again.

    A payload that ``holds`` waits after its first step until the test lays a file ``go`` beside that one.
    """
    path = Path(payload["path"])
    for number in range(payload["steps"]):
        context.check_cancelled()
        done = path.read_text().splitlines() if path.exists() else []
        if str(number) in done:
            continue
        context.progress({"type": "progress", "step": number})
        with path.open("a") as file:
            file.write(f"{number}\n")
        while payload["holds"] and not path.with_name("go").exists():
            context.check_cancelled()
            time.sleep(0.02)
    return {"attempt": context.attempt}


if __name__ == "__main__":
    settings = Settings(_env_file=None)
    configure_logging(settings)
    worker = Worker(Ground.build(settings))
    worker.start()
    print("started", flush=True)
    sys.stdin.read()
    worker.stop()
