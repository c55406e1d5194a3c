"""A run that is killed and repeated ends with the bytes of a run that never stopped."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults import EVERY, Injected


def start(order: dict[str, Any]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training.fit_child", json.dumps(order)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def finish(child: subprocess.Popen[str]) -> dict[str, Any]:
    events = [json.loads(line) for line in child.stdout or ()]
    assert child.wait() == 0
    assert events[-1]["type"] == "result"
    return dict(events[-1])


def kill_at(child: subprocess.Popen[str], kind: str, step: int, delay: float) -> None:
    """Kill a child a moment after it reported an event of a step; at its end if it never does."""
    for line in child.stdout or ():
        event = json.loads(line)
        if event["type"] == kind and event["step"] >= step:
            time.sleep(delay)
            break
    child.send_signal(signal.SIGKILL)
    child.wait()


def output(order: dict[str, Any]) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(order["output_dir"]).iterdir()}


@pytest.mark.faults
@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.long)])
def test_a_run_killed_anywhere_and_repeated_ends_with_the_same_bytes(
    order: dict[str, Any], tmp_path: Path, dtype: str, injected: Injected
) -> None:
    early = {"early_stopping": {"enabled": True, "patience": 2}, "evaluate_every_steps": 4, "scheduler": "constant"}
    # So high a rate spoils what was learned, so that the run stops early and its best weights are not its last.
    parameters = {"learning_rate": 5e-2, "batch_size": 8, "epochs": 20, "gradient_accumulation_steps": 2}
    order |= {"dtype": dtype, "optimization": early, "checkpoint_every_steps": 3}
    order |= {"hyperparameters": parameters}
    whole = order | {"work_dir": str(tmp_path / "whole"), "output_dir": str(tmp_path / "whole-output")}
    expected = finish(start(whole))
    assert expected["stopped_early"]
    assert expected["convergence_step"] < expected["total_steps"]

    seed = time.time_ns() % 100_000
    print("seed of the kills:", seed)
    draw = random.Random(seed)
    last = expected["total_steps"]
    others = [("progress", draw.randrange(1, last)), ("evaluated", last)]
    moments = [("checkpoint", draw.randrange(3, last)), *(others if EVERY else [draw.choice(others)])]
    for kind, step in sorted(moments, key=lambda moment: moment[1]):
        kill_at(start(order), kind, step, draw.uniform(0, 0.03))
    found = finish(start(order))

    injected(len(moments))
    assert found["resumed_from_step"]
    assert output(order) == output(whole)
    same = {"total_steps", "epochs", "best_validation_loss", "validation_losses", "final_loss", "tokens", "threads"}
    assert {key: found[key] for key in same} == {key: expected[key] for key in same}
    assert Path(found["row_ids_path"]).read_bytes() == Path(expected["row_ids_path"]).read_bytes()


def test_a_child_left_behind_by_its_worker_is_ended_before_another_writes(order: dict[str, Any]) -> None:
    order |= {"hyperparameters": {"batch_size": 1, "epochs": 10_000}, "checkpoint_every_steps": 5}
    left = start(order)
    for line in left.stdout or ():
        if json.loads(line)["type"] == "checkpoint":
            break
    taker = start(order)
    try:
        first = json.loads((taker.stdout or iter(())).__next__())
        assert first["text"].startswith("goes on from the checkpoint of step")
        assert left.wait(timeout=60) == -signal.SIGKILL
    finally:
        taker.kill()
        left.kill()
        taker.wait()
