"""Processes that share the work on the rows of one import, and end with the process that began them."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from types import TracebackType
from typing import Any, TypeVar

from tunery.errors import Cancelled, InternalError

__all__ = ["Workers", "main"]

_BY_LINES = ("jsonl",)
_LEAST_BYTES = 8 << 20
"""Of a shorter file it costs more to start processes than they give."""

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Worker:
    process: subprocess.Popen[bytes]
    line: Connection
    known: set[int] = field(default_factory=set)

    def ask(self, number: int, function: Callable[[Any], Any], task: Any) -> Any:
        try:
            self.line.send((number, None if number in self.known else function, task))
            self.known.add(number)
            failed, result = self.line.recv()
        except (EOFError, OSError) as error:
            code = self.process.wait()
            raise InternalError(f"a process that reads rows ended ({code}); too little memory? Try again") from error
        if failed:
            raise result
        return result


class Workers:
    """A few processes of this house; each is started when there is work for it.

    Args:
        count: Most of them.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free: SimpleQueue[_Worker | None] = SimpleQueue()
        self._started: list[_Worker] = []
        self._functions = 0
        self._starting = Lock()
        self._ended = False
        for _ in range(count):
            self._free.put(None)

    @classmethod
    def for_file(cls, source: Path, format_name: str) -> Workers:
        """Return one for each core for a long file that can be cut into pieces of lines, else none."""
        shared = format_name in _BY_LINES and source.stat().st_size >= _LEAST_BYTES
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return cls(cores if shared and cores > 1 else 0)

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield what a function, which must survive pickling, makes of each task, in order; a few are done ahead."""
        self._functions += 1
        number, pending = self._functions, deque[Future[Result]]()
        with ThreadPoolExecutor(self.count) as pool:
            try:
                for task in tasks:
                    pending.append(pool.submit(self._done, number, function, task))
                    if len(pending) > 2 * self.count:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def _done(self, number: int, function: Callable[[Any], Any], task: Any) -> Any:
        worker = self._free.get()
        try:
            worker = worker or self._start()
            return worker.ask(number, function, task)
        finally:
            self._free.put(worker)

    def _start(self) -> _Worker:
        with self._starting:
            if self._ended:
                raise Cancelled
            ours, theirs = socket.socketpair()
            with theirs:
                command = [sys.executable, "-P", "-m", "tunery.datasets.workers", str(theirs.fileno())]
                process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
            worker = _Worker(process, Connection(ours.detach()))
            self._started.append(worker)
            return worker

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._starting:
            self._ended = True
        for worker in self._started:
            worker.process.kill()
            worker.process.wait()


def main() -> None:
    """Answer tasks until the line closes: the import is done, or its process is dead."""
    line = Connection(int(sys.argv[1]))
    functions: dict[int, Callable[[Any], Any]] = {}
    while True:
        try:
            number, function, task = line.recv()
        except EOFError:
            os._exit(0)
        if function is not None:
            functions[number] = function
        line.send_bytes(_answer(functions[number], task))


def _answer(function: Callable[[Any], Any], task: Any) -> bytes:
    try:
        return pickle.dumps((False, function(task)), pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 it is raised where the work was asked for
        return pickle.dumps((True, error))


if __name__ == "__main__":
    main()
