"""One writer for a run's folder: a file lock, and an end for a writer that its worker has left behind."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tunery.errors import Conflict
from tunery.kit.extras import require

__all__ = ["run_lock"]

_PATIENCE_SECONDS = 5.0
_LIMIT_SECONDS = 30.0


@contextmanager
def run_lock(
    work_dir: Path, patience_seconds: float = _PATIENCE_SECONDS, limit_seconds: float = _LIMIT_SECONDS
) -> Iterator[None]:
    """Hold the run's lock while the block runs.

    A writer that still holds it after ``patience_seconds`` belongs to a worker that is no more: whoever starts a second
    child for a run has taken the run over. Its process group is killed, and what it had saved stands.

    Raises: Conflict: the lock is still held after ``limit_seconds``.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    with (work_dir / "run.lock").open("a+") as file:
        _acquire(file, work_dir, patience_seconds, limit_seconds)
        me = {"pid": os.getpid(), "started": _started(os.getpid()), "group": os.getpgid(0)}
        file.truncate(0)
        file.write(json.dumps(me))
        file.flush()
        yield


def _acquire(file: IO[str], work_dir: Path, patience: float, limit: float) -> None:
    began = time.monotonic()
    killed = False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - began
        else:
            return
        if waited > limit:
            raise Conflict(f"another process still trains in {work_dir.name}; end it, then repeat the command")
        if waited > patience and not killed:
            killed = _end_writer(file)
        time.sleep(0.05)


def _end_writer(file: IO[str]) -> bool:
    """Kill the process group of the recorded writer, if it is the process that wrote the record."""
    file.seek(0)
    try:
        writer = json.load(file)
    except ValueError:
        return False  # it has the lock but has not yet said who it is
    if _started(writer["pid"]) != writer["started"]:
        return False
    if writer["group"] == writer["pid"]:
        os.killpg(writer["group"], signal.SIGKILL)
    else:  # the group is somebody else's: a shell's, or ours
        os.kill(writer["pid"], signal.SIGKILL)
    return True


def _started(pid: int) -> float | None:
    """Return when a living process began; with its number it names one process, which a number alone does not."""
    psutil = require("psutil", "train")
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None
