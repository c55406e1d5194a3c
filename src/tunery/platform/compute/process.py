"""Run a heavy step in a child process group that ends when we end it, and when we die.

The order goes in as one JSON line on the child's standard input, which stays open: when it closes, because the parent
was killed, the child ends itself at once, so that two never write. Events come back as JSON lines on a pipe of their
own; whatever the step prints goes to a log file.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Protocol

import structlog

from tunery.errors import Cancelled, InternalError, TuneryError, error_from_problem
from tunery.plugins import Registry

__all__ = ["ENTRIES", "Entry", "run_in_child"]

log = structlog.get_logger(__name__)
_GRACE_SECONDS = 10.0


class Entry(Protocol):
    """A heavy step: takes the order, reports events, looks at ``cancelled`` now and then, returns JSON-able results."""

    def __call__(
        self, order: dict[str, Any], emit: Callable[[dict[str, Any]], None], cancelled: Callable[[], bool]
    ) -> dict[str, Any]: ...


ENTRIES: Registry[str] = Registry("compute_entry")
"""Heavy steps by name; the value says where the function is: ``module:function``."""


def run_in_child(
    entry: str,
    order: dict[str, Any],
    *,
    log_path: Path,
    on_event: Callable[[dict[str, Any]], None],
    cancelled: Callable[[], bool],
    environment: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Run a registered entry in a child process and wait for its result.

    Args:
        entry: A name in ``ENTRIES``.
        order: What to do; plain JSON.
        log_path: Where the child's output goes (appended).
        on_event: Called in this thread with each event the child reports.
        cancelled: Asked about once a second; true ends the child, first politely, then by force.
        environment: Variables to set for the child on top of ours.

    Raises:
        Cancelled: ``cancelled`` said so. TuneryError: what the child raised, rebuilt. InternalError: the child died.
    """
    child, events = _start(ENTRIES.get(entry), log_path, environment or {})
    asked_to_stop = False
    try:
        assert child.stdin is not None
        _send(child.stdin, order)
        while True:
            try:
                event = events.get(timeout=1.0)
            except queue.Empty:
                event = {}
            if event is None:
                raise _death(child, entry, log_path)
            if "result" in event:
                child.wait(timeout=_GRACE_SECONDS)
                return dict(event["result"])
            if "error" in event:
                raise _raised(event["error"], entry, log_path)
            if event:
                on_event(event)
            if not asked_to_stop and cancelled():
                asked_to_stop = True
                _send(child.stdin, {"cancel": True})
                threading.Timer(_GRACE_SECONDS, _end, [child]).start()
    except InternalError:
        if asked_to_stop:
            raise Cancelled from None
        raise
    finally:
        _end(child)


def _start(
    target: str, log_path: Path, environment: dict[str, str]
) -> tuple[subprocess.Popen[bytes], queue.Queue[dict[str, Any] | None]]:
    log_path.parent.mkdir(parents=True, exist_ok=True)
    reader, writer = os.pipe()
    with log_path.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "tunery.platform.compute.child", target, str(writer)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=[writer],
            start_new_session=True,
            env={**os.environ, **environment},
        )
    os.close(writer)
    events: queue.Queue[dict[str, Any] | None] = queue.Queue()
    threading.Thread(target=_read_events, args=[reader, events], daemon=True).start()
    return child, events


def _read_events(descriptor: int, events: queue.Queue[dict[str, Any] | None]) -> None:
    with os.fdopen(descriptor, "rb") as pipe:
        for line in pipe:
            if line.endswith(b"\n"):
                events.put(json.loads(line))
    events.put(None)


def _send(stdin: IO[bytes], message: dict[str, Any]) -> None:
    try:
        stdin.write(json.dumps(message).encode() + b"\n")
        stdin.flush()
    except BrokenPipeError:
        return  # the child is gone; the event pipe tells why


def _raised(problem: dict[str, Any], entry: str, log_path: Path) -> TuneryError:
    error = error_from_problem(problem)
    return _internal(f"{entry} met {error.message}", log_path) if type(error) is InternalError else error


def _death(child: subprocess.Popen[bytes], entry: str, log_path: Path) -> InternalError:
    code = child.wait()
    how = f"was killed by signal {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    if code == -signal.SIGKILL:
        how += " (out of memory, or by hand)"
    return _internal(f"the process of {entry} {how}", log_path, exit_code=code)


def _internal(what: str, log_path: Path, **details: Any) -> InternalError:
    """Return the error of a step that failed by a fault of ours; it only names the log, whose end goes to our own."""
    tail = b"".join(log_path.read_bytes().splitlines(keepends=True)[-20:]).decode(errors="replace")
    log.error("a heavy step failed", what=what, log=str(log_path), tail=tail)
    return InternalError(f"{what} (log: {log_path.name})", log=str(log_path), **details)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        child.wait()
