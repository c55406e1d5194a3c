from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tunery.errors import Conflict
from tunery.training.run_lock import run_lock

HOLD = """
import sys, pathlib
from tunery.training.run_lock import run_lock
with run_lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_the_lock_waits_for_a_writer_that_ends(tmp_path: Path) -> None:
    holder = hold(tmp_path)
    assert holder.stdin is not None
    holder.stdin.close()
    with run_lock(tmp_path, patience_seconds=60, limit_seconds=90):
        assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()
    assert holder.wait() == 0


def test_a_writer_that_does_not_end_is_killed(tmp_path: Path) -> None:
    holder = hold(tmp_path)
    with run_lock(tmp_path, patience_seconds=0.1):
        assert holder.wait() == -9


def test_a_process_that_only_has_the_number_of_the_recorded_one_is_left_alone(tmp_path: Path) -> None:
    holder = hold(tmp_path)
    record = json.loads((tmp_path / "run.lock").read_text())
    (tmp_path / "run.lock").write_text(json.dumps(record | {"started": record["started"] - 100}))
    with pytest.raises(Conflict, match="another process still trains"), run_lock(tmp_path, 0.1, 0.3):
        pass
    assert holder.poll() is None
    holder.kill()
    holder.wait()
