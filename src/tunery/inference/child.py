"""The parent's side of an engine process: start it, wait until it is healthy, ask whether it lives, end it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import structlog

from tunery.errors import EngineFailed
from tunery.inference.ports import EngineSpec
from tunery.inference.templates import model_context_length
from tunery.kit.ids import new_id
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import SWEEPS
from tunery.settings import Settings

__all__ = [
    "ChildEngine",
    "engine_failure",
    "engine_log",
    "engine_logs",
    "serving_spec",
    "start_child",
    "usable_threads",
]

log = structlog.get_logger(__name__)
_TAIL_LINES = 20

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONPATH")
_INHERITED_PREFIXES = ("CUDA_", "NVIDIA_", "HIP_", "ROCR_", "PYTORCH_", "OMP_", "GOMP_", "MKL_", "GGML_")


@dataclass(frozen=True, eq=False)
class ChildEngine:
    """A running engine process; fills the port ``RunningEngine``."""

    name: str
    spec: EngineSpec
    url: str
    key: str = field(repr=False)
    log_path: Path
    template_digest: str | None
    can_score: bool
    process: subprocess.Popen[bytes]
    shape: Callable[[ChildEngine, dict[str, Any], str | None], dict[str, Any]]

    @property
    def pid(self) -> int:
        """Process id, and id of the process group."""
        return self.process.pid

    def alive(self) -> bool:
        """Tell whether the process still runs."""
        return self.process.poll() is None

    def stop(self) -> None:
        """End the whole process group and wait for it; stopping twice is fine."""
        end_group(self.process)

    def request(self, body: dict[str, Any], adapter: str | None) -> dict[str, Any]:
        """Turn an OpenAI body into this engine's, with that adapter; see ``RunningEngine.request``."""
        return self.shape(self, body, adapter)

    def __enter__(self) -> ChildEngine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def start_child(
    module: str, order: dict[str, Any], log_path: Path, deadline: float
) -> tuple[subprocess.Popen[bytes], str, str]:
    """Start an engine module as a process group of its own and wait until it is healthy.

    Args:
        module: Module that is run; it begins with ``lifeline.begin``.
        order: What it shall serve; plain JSON. A fresh random key is added, which reaches the child by its standard
            input only, as arguments and environment of a process can be read by others.
        log_path: Where its output goes.
        deadline: Until when it must be healthy, on ``time.monotonic``.

    Returns:
        The process, its address and its key.

    Raises:
        EngineFailed: it ended, or was not healthy in time; names the log.
    """
    key = secrets.token_urlsafe(32)
    with log_path.open("ab") as output:
        # The lock is the open file's, which the child keeps to its end: so a sweep can tell whose engine still lives.
        fcntl.flock(output, fcntl.LOCK_SH)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
            env=_environment(),
        )
    try:
        _send(process, {**order, "key": key})
        url = f"http://127.0.0.1:{_wait_for_port(process, log_path, deadline)}"
        _check_health(url, log_path, deadline)
    except BaseException:
        end_group(process)
        raise
    return process, url, key


def engine_log(spec: EngineSpec, engine: str) -> Path:
    """Return the path of a new log file in the spec's work folder."""
    spec.work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return spec.work_dir / f"{engine}-{new_id()}.log"


def engine_logs(settings: Settings) -> Path:
    """Return the folder of the engines' logs."""
    return settings.folder("logs", "engines")


@SWEEPS.register("engine logs")
def _sweep_logs(ground: Ground, older_than_seconds: float) -> int:
    """Remove the logs of engines that ended seven times as long ago: their lock is free."""
    count = 0
    for path in engine_logs(ground.settings).glob("*.log"):
        with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
            if time.time() - path.stat().st_mtime > 7 * older_than_seconds:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                count += 1
    return count


def serving_spec(spec: EngineSpec) -> EngineSpec:
    """Return the spec with its context length cut to what the model allows."""
    allowed = model_context_length(spec.model_dir)
    return spec if allowed is None else replace(spec, context_length=min(spec.context_length, allowed))


def engine_failure(what: str, log_path: Path) -> EngineFailed:
    """Return the error of an engine; it reaches whoever asked, so it only names the log, whose end goes to our own."""
    log.error("an engine failed", what=what, log=str(log_path), tail=_log_tail(log_path))
    return EngineFailed(f"{what} (log: {log_path.name})", log=str(log_path))


def usable_threads(spec: EngineSpec) -> int:
    """Return the spec's threads, or the number of cores this process may use."""
    if spec.threads is not None:
        return spec.threads
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process group that the process leads, and wait. There is nothing in an engine that needs saving."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _environment() -> dict[str, str]:
    # An allow-list: the parent's variables may hold database and storage secrets, and an engine reads foreign files.
    kept = {k: v for k, v in os.environ.items() if k in _INHERITED or k.startswith(_INHERITED_PREFIXES)}
    # OpenMP's threads spin for milliseconds at each barrier by default: with anything else on the cores an engine of
    # two threads then is ten times slower (6 instead of 65 tokens/s); spinning this briefly costs nothing on idle ones.
    return {"GOMP_SPINCOUNT": "1000", **kept, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}


def _send(process: subprocess.Popen[bytes], order: dict[str, Any]) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        return  # it ended already; the wait for its port says how


def _wait_for_port(process: subprocess.Popen[bytes], log_path: Path, deadline: float) -> int:
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
        raise _failure("did not become healthy in time", log_path)
    line = process.stdout.readline()
    if not line:
        code = process.wait()
        raise _failure(
            f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}", log_path
        )
    return int(json.loads(line)["port"])


def _check_health(url: str, log_path: Path, deadline: float) -> None:
    try:
        with httpx.Client(trust_env=False, timeout=max(0.1, deadline - time.monotonic())) as client:
            client.get(f"{url}/health").raise_for_status()
    except httpx.HTTPError as fault:
        raise _failure(f"does not answer ({fault})", log_path) from fault


def _failure(what: str, log_path: Path) -> EngineFailed:
    return engine_failure(f"the engine {what} while it started", log_path)


def _log_tail(log_path: Path) -> str:
    if not log_path.is_file():
        return ""
    with log_path.open("rb") as file:
        file.seek(max(0, log_path.stat().st_size - 16_384))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-_TAIL_LINES:])
