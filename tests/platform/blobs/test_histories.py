"""Whatever happened before: what is named is never lost, and what was destroyed is never readable."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import ROUNDS, Injected

EXAMPLES, STEPS = (40 * ROUNDS, 20) if ROUNDS else (4, 12)


@pytest.mark.long
@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_no_history_with_kills_loses_what_is_named_or_shows_what_is_destroyed(
    sqlite_template: Path, tmp_path: Path, injected: Injected
) -> None:
    script = [sys.executable, "-m", "tests.platform.blobs.history_script"]
    done = subprocess.run(
        [*script, str(sqlite_template), str(tmp_path), str(EXAMPLES), str(STEPS)],
        capture_output=True, text=True, check=False, timeout=3500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-6000:]
    injected(int(done.stdout.split()[-1]))
