"""The child's side of ``run_in_child``: ``python -m tunery.platform.compute.child module:function EVENT_FD``."""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from importlib import import_module
from typing import Any

from tunery.errors import TuneryError

__all__ = ["main"]


def main() -> None:
    """Read the order, run it, report. The process ends at once when its standard input closes: the parent is dead."""
    target, descriptor = sys.argv[1], int(sys.argv[2])
    writing = threading.Lock()
    cancel = threading.Event()

    def emit(event: dict[str, Any]) -> None:
        line = json.dumps(event).encode() + b"\n"
        with writing:
            while line:
                line = line[os.write(descriptor, line) :]

    order = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_watch_parent, args=[cancel], daemon=True).start()
    try:
        module, _, function = target.partition(":")
        result = getattr(import_module(module), function)(order, emit, cancel.is_set)
        emit({"result": result})
    except TuneryError as error:
        traceback.print_exc()
        emit({"error": {"code": error.code, "detail": error.message, **error.details}})
    except BaseException as error:  # noqa: BLE001 the parent must hear of every end
        traceback.print_exc()
        emit({"error": {"code": "internal", "detail": f"a fault of ours ({type(error).__name__})"}})
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # no destructor of a heavy library may hang here; everything that counts is on disk


def _watch_parent(cancel: threading.Event) -> None:
    for _line in iter(sys.stdin.buffer.readline, b""):
        cancel.set()
    os._exit(3)


if __name__ == "__main__":
    main()
