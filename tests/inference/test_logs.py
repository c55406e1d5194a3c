"""Logs of engines: kept for a week, and while the engine lives."""

from __future__ import annotations

import fcntl
import subprocess
import sys

from tunery.inference.child import engine_logs
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import SWEEPS


def test_the_log_of_an_engine_that_ended_goes_and_that_of_a_living_one_stays(ground: Ground) -> None:
    folder = engine_logs(ground.settings)
    (folder / "ended.log").write_text("said")
    with (folder / "living.log").open("ab") as output:
        fcntl.flock(output, fcntl.LOCK_SH)
        engine = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=output)
    sweep = SWEEPS.get("engine logs")
    assert sweep(ground, 86_400.0) == 0
    assert sweep(ground, 0) == 1
    assert [path.name for path in folder.iterdir()] == ["living.log"]
    engine.communicate(b"\n")
    assert sweep(ground, 0) == 1
