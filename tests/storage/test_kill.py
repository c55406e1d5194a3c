"""The core loop of faults on an upload: killed before its N-th deed, looked at, gone on with; then N + 1."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_an_upload_killed_before_any_of_its_deeds_is_gone_on_with(sqlite_template: Path, tmp_path: Path) -> None:
    step = "1" if "TUNERY_FAULT_ROUNDS" in os.environ else "17"
    command = [sys.executable, "-m", "tests.storage.kill_script", str(sqlite_template), str(tmp_path), step]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[-1]) >= 40, "fewer deeds than an upload must have; are they still counted?"
