"""The core loop of faults on an upload: killed before its N-th deed, looked at, gone on with; then N + 1."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import EVERY, Injected


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_an_upload_killed_before_any_of_its_deeds_is_gone_on_with(
    sqlite_template: Path, tmp_path: Path, injected: Injected
) -> None:
    step = 1 if EVERY else 19
    command = [sys.executable, "-m", "tests.storage.kill_script", str(sqlite_template), str(tmp_path), str(step)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1700)
    assert done.returncode == 0, done.stderr[-3000:]
    deeds = int(done.stdout.split()[-1])
    assert deeds >= 40, "fewer deeds than an upload must have; are they still counted?"
    injected(deeds // step)
