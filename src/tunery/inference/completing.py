"""The batch face of an engine: many prompts in, as many completions out, in order; and scores of given texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import httpx

from tunery.errors import Cancelled, MalformedRequest, Refused
from tunery.inference.asking import ask, engine_client
from tunery.inference.ports import RunningEngine
from tunery.inference.requests import check_adapter

__all__ = ["ChatPrompt", "Completion", "Prompt", "Score", "TextPrompt", "complete", "score"]

_LOOK_SECONDS = 0.5

Result = TypeVar("Result")


@dataclass(frozen=True)
class ChatPrompt:
    """A conversation that the model's chat template shapes; each message has ``role`` and ``content``."""

    messages: Sequence[dict[str, str]]


@dataclass(frozen=True)
class TextPrompt:
    """A text that the model goes on with, as it stands."""

    text: str


Prompt: TypeAlias = ChatPrompt | TextPrompt


@dataclass(frozen=True)
class Completion:
    """What a model made of a prompt.

    Attributes:
        text: The answer, without the stop text that ended it.
        finish_reason: ``stop``, or ``length`` where ``max_tokens`` or the context ended it.
        prompt_tokens: Length of the prompt.
        completion_tokens: Length of the answer, its end token included.
        seconds: From sending the prompt to having the whole answer.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float


@dataclass(frozen=True)
class Score:
    """How likely a model finds a given completion: the natural log-probability of each of its tokens, in order."""

    logprobs: tuple[float, ...]

    @property
    def logprob_sum(self) -> float:
        """Log-probability of the whole completion."""
        return sum(self.logprobs)

    @property
    def tokens(self) -> int:
        """Number of tokens scored."""
        return len(self.logprobs)


def complete(
    engine: RunningEngine,
    prompts: Sequence[Prompt],
    *,
    adapter: str | None = None,
    max_tokens: int,
    temperature: float = 0.0,
    stop: Sequence[str] = (),
    seed: int | None = None,
    concurrency: int | None = None,
    timeout_seconds: float = 600.0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_result: Callable[[int, Completion], None] = lambda index, made: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[Completion]:
    """Let a model answer every prompt.

    Args:
        engine: A running engine.
        prompts: Conversations and texts, mixed as you like.
        adapter: Which adapter answers; None for the base.
        max_tokens: Longest answer, in tokens.
        temperature: 0 is greedy, and as repeatable as the engine's arithmetic: batches of another make-up can round
            otherwise.
        stop: Texts that end an answer.
        seed: For sampling; the same for every prompt.
        concurrency: Prompts that are sent at once; the default keeps every slot busy and one more waiting.
        timeout_seconds: Longest wait for one answer.
        on_progress: Called in this thread with how many are done, of how many.
        on_result: Called in this thread with each index and its result, as they come; so what was done before an
            error can be kept.
        cancelled: Asked about twice a second.

    Returns:
        One completion for each prompt, in the same order.

    Raises:
        EngineFailed: the engine died or stopped answering. MalformedRequest: a prompt is refused, for instance as
        longer than the context; ``details["index"]`` says which. NotFound: no such adapter. Cancelled: ``cancelled``
        said so.
    """
    wishes: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature}
    if stop:
        wishes["stop"] = list(stop)
    if seed is not None:
        wishes["seed"] = seed
    bodies = []
    for index, prompt in enumerate(prompts):
        with _indexed(index):
            bodies.append((_path(prompt), engine.request({**_fields(prompt), **wishes}, adapter)))
    busy = concurrency or engine.spec.slots + 1

    client = engine_client(engine, connections=busy, timeout_seconds=timeout_seconds)

    def answer(index: int) -> Completion:
        path, body = bodies[index]
        began = time.monotonic()
        return _completion(ask(client, engine, path, body, f"prompt {index}"), time.monotonic() - began)

    return _in_parallel(answer, len(prompts), busy, client, on_progress, on_result, cancelled)


def score(
    engine: RunningEngine,
    pairs: Sequence[tuple[Prompt, str]],
    *,
    adapter: str | None = None,
    timeout_seconds: float = 600.0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_result: Callable[[int, Score], None] = lambda index, made: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[Score]:
    """Let a model say how likely it finds each completion after its prompt.

    Args:
        engine: A running engine that can score.
        pairs: Prompt and completion. After an empty ``TextPrompt`` the completion's first token is not scored, as
            nothing stands before it.
        adapter: Which adapter judges; None for the base.
        timeout_seconds: Longest wait for one score.
        on_progress: Called in this thread with how many are done, of how many.
        on_result: Called in this thread with each index and its result, as they come; so what was done before an
            error can be kept.
        cancelled: Asked about twice a second.

    Returns:
        One score for each pair, in the same order.

    Raises:
        Refused: this engine cannot score. EngineFailed, MalformedRequest, NotFound, Cancelled: as ``complete``.
    """
    if not engine.can_score:
        raise Refused(f"the engine {engine.name} cannot score given texts; use the engine 'transformers' for that")
    check_adapter(engine, adapter)
    bodies = [{**_fields(prompt), "completion": text, "adapter": adapter} for prompt, text in pairs]
    client = engine_client(engine, connections=2, timeout_seconds=timeout_seconds)

    def judge(index: int) -> Score:
        return Score(tuple(ask(client, engine, "/score", bodies[index], f"pair {index}")["logprobs"]))

    return _in_parallel(judge, len(pairs), 2, client, on_progress, on_result, cancelled)


def _in_parallel(
    do: Callable[[int], Result],
    total: int,
    workers: int,
    client: httpx.Client,
    on_progress: Callable[[int, int], None],
    on_result: Callable[[int, Result], None],
    cancelled: Callable[[], bool],
) -> list[Result]:
    """Do ``0 .. total - 1``, some at a time. The first error or a cancellation drops what has not begun."""
    pool = ThreadPoolExecutor(max_workers=workers)
    futures = [pool.submit(do, index) for index in range(total)]
    index_of = {future: index for index, future in enumerate(futures)}
    waiting = set(futures)
    try:
        while waiting:
            if cancelled():
                raise Cancelled
            done, waiting = wait(waiting, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
            # Results first, so that none is lost to an error that came at the same moment.
            for future in sorted(done, key=lambda one: (one.exception() is not None, index_of[one])):
                with _indexed(index_of[future]):
                    on_result(index_of[future], future.result())
            if done:
                on_progress(total - len(waiting), total)
    finally:
        # Not waiting for what is under way: a hung engine must not hold up a cancellation.
        pool.shutdown(wait=False, cancel_futures=True)
    # Only here: closed under threads that still read from it, they would sleep until their timeout. After an error it
    # goes with the last of them, at the latest when the engine is stopped.
    client.close()
    return [future.result() for future in futures]


@contextmanager
def _indexed(index: int) -> Iterator[None]:
    try:
        yield
    except MalformedRequest as fault:
        fault.details["index"] = index
        raise


def _path(prompt: Prompt) -> str:
    return "/v1/chat/completions" if isinstance(prompt, ChatPrompt) else "/v1/completions"


def _fields(prompt: Prompt) -> dict[str, Any]:
    return {"messages": list(prompt.messages)} if isinstance(prompt, ChatPrompt) else {"prompt": prompt.text}


def _completion(answer: dict[str, Any], seconds: float) -> Completion:
    choice, usage = answer["choices"][0], answer["usage"]
    return Completion(
        text=choice["message"]["content"] or "" if "message" in choice else choice["text"],
        finish_reason=choice["finish_reason"],
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
        seconds=seconds,
    )
