"""How long a thread of the training spins for the others before it gives its core to whoever else needs one."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

TELL = "from tunery.training.fit import _prepare; _prepare()"


@pytest.mark.skipif(sys.platform != "linux", reason="torch brings GNU's OpenMP on Linux alone")
@pytest.mark.parametrize(
    ("given", "found"), [({}, "1000"), pytest.param({"GOMP_SPINCOUNT": "77"}, "77", marks=pytest.mark.long)]
)
def test_threads_spin_briefly_unless_told_otherwise(given: dict[str, str], found: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
    environment |= {"OMP_DISPLAY_ENV": "verbose"} | given
    done = subprocess.run([sys.executable, "-c", TELL], env=environment, capture_output=True, text=True, check=True)
    told = re.search(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)  # printed by libgomp itself when torch loads it
    assert told is not None, done.stderr
    assert told[1] == found
