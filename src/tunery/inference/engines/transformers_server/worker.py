"""The one thread that uses the model: takes waiting requests of one adapter together as a batch."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from tunery.inference.engines.transformers_server.answer import Answer
from tunery.inference.engines.transformers_server.model import LoadedModel, Row

__all__ = ["Events", "Generation", "Scoring", "Worker"]

log = logging.getLogger(__name__)

_GATHER_SECONDS = 0.005


class Events:
    """What the worker's thread tells the coroutine of one request."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self.unheard = False

    def put(self, event: Any) -> None:
        """Tell the coroutine; called in the worker's thread."""
        self._loop.call_soon_threadsafe(self._queue.put_nowait, event)

    async def get(self) -> Any:
        """Return the next event. Raises: the error that the worker met."""
        event = await self._queue.get()
        if isinstance(event, Exception):
            raise event
        return event


@dataclass(frozen=True, eq=False)
class Generation:
    """An answer to be written; its events are pieces of text, then the finished ``Answer``."""

    adapter: str | None
    events: Events
    answer: Answer
    prompt: list[int]
    temperature: float
    top_p: float
    seed: int | None

    def row(self) -> Row:
        """Return this as a row of a batch."""
        return Row(
            self.prompt,
            self.temperature,
            self.top_p,
            self.seed,
            accept=self._accept,
            cancelled=lambda: self.events.unheard,
        )

    def _accept(self, token: int) -> bool:
        done = self.answer.accept(token)
        if done:
            self.events.put(self.answer)
        return done


@dataclass(frozen=True, eq=False)
class Scoring:
    """A completion to be scored; its one event is the list of log-probabilities."""

    adapter: str | None
    events: Events
    prompt: list[int]
    completion: list[int]


class Worker:
    """Serves requests in the order of their coming; answers of one adapter that wait are written together.

    Args:
        model: The model, used by this worker's thread alone.
        slots: Most answers written together.
    """

    def __init__(self, model: LoadedModel, slots: int) -> None:
        self._model = model
        self._slots = slots
        self._waiting: deque[Generation | Scoring] = deque()
        self._changed = threading.Condition()
        threading.Thread(target=self._serve, daemon=True).start()

    def submit(self, work: Generation | Scoring) -> None:
        """Queue a request."""
        with self._changed:
            self._waiting.append(work)
            self._changed.notify()

    def _serve(self) -> None:
        while True:
            batch = self._take()
            try:
                self._do(batch)
            except Exception as fault:  # one bad batch must not end the engine; its callers hear of it
                log.exception("a batch of %d failed", len(batch))
                for work in batch:
                    work.events.put(fault)

    def _take(self) -> list[Generation | Scoring]:
        with self._changed:
            while not self._waiting:
                self._changed.wait()
        time.sleep(_GATHER_SECONDS)  # requests that are sent together arrive a moment apart
        with self._changed:
            first = self._waiting.popleft()
            if isinstance(first, Scoring):
                return [first]
            mates = [work for work in self._waiting if isinstance(work, Generation) and work.adapter == first.adapter]
            batch = [first, *mates[: self._slots - 1]]
            for work in batch[1:]:
                self._waiting.remove(work)
        return [work for work in batch if not work.events.unheard]

    def _do(self, batch: list[Generation | Scoring]) -> None:
        rows = [work.row() for work in batch if isinstance(work, Generation)]
        if rows:
            self._model.generate(rows, batch[0].adapter)
        for work in batch:
            if isinstance(work, Scoring):
                work.events.put(self._model.score(work.prompt, work.completion, work.adapter))
