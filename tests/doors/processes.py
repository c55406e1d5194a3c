"""Command lines in processes of their own, which can be sent signals."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def alone() -> Iterator[dict[str, str]]:
    """The environment of a process that works in a home of its own."""
    with tempfile.TemporaryDirectory(prefix="tnr-") as home:
        yield {**os.environ, "TUNERY_HOME": home, "TUNERY_URL": "", "TUNERY_TOKEN": ""}


def start(environment: dict[str, str], *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a ``tunery`` command line."""
    # A shell that starts things in the background has SIGINT ignored, and children inherit that.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code += "; from tunery.cli.main import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def announced(environment: dict[str, str], server: subprocess.Popen[str]) -> Path:
    """Wait until a server says where it is, and return the file that tells it."""
    file = Path(environment["TUNERY_HOME"]) / "server.json"
    deadline = time.monotonic() + 60
    while not file.exists():
        assert server.poll() is None, server.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return file
