"""The child's side of an engine process: read the order, report the port, end with the parent."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["begin"]


def begin() -> tuple[dict[str, Any], Callable[[int], None]]:
    """Read the order from standard input and tie this process to its parent.

    The parent holds the other end of standard input open for as long as it lives; when that closes, this process ends
    at once. Standard output is kept for the report alone: whatever a library prints there goes to the log.

    Returns:
        The order, and a function that reports the port once the engine answers on it.
    """
    report = os.dup(1)
    os.dup2(2, 1)
    order = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, args=[os.getppid()], daemon=True).start()
    if sys.platform == "linux":
        _end_by_signal()

    def ready(port: int) -> None:
        os.write(report, json.dumps({"port": port}).encode() + b"\n")
        os.close(report)

    return order, ready


def _end_with_parent(parent: int) -> None:
    # A process that the parent forked may hold the pipe open after its death; then the change of parent tells.
    while os.getppid() == parent:
        if select.select([0], [], [], 1.0)[0] and not os.read(0, 4096):
            break
    os._exit(3)


def _end_by_signal() -> None:
    # The thread above cannot run while a library loads a model with the interpreter's lock held. Linux sends SIGIO,
    # whose default action ends the process, when the pipe's other end closes; other systems wait for the thread.
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
