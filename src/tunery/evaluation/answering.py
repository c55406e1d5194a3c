"""Ask a model for what an evaluation needs; each answer is on the disk soon after it came."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from tunery.errors import InvalidInput, MalformedRequest
from tunery.evaluation.ports import Need
from tunery.evaluation.prompts import Prompt
from tunery.evaluation.work_file import WorkFile
from tunery.inference.completing import ChatPrompt, Completion, Score, TextPrompt, complete, score
from tunery.inference.ports import ENGINES, RunningEngine
from tunery.inference.versions import spec_of_versions
from tunery.platform.ground import Ground

__all__ = ["Question", "answer_rows"]

SCORING_ENGINE = "transformers"
"""Gives log-probabilities where the evaluation's own engine cannot."""

_MOST_REFUSED = 5
"""Rows refused after which an evaluation stops: more would say no more."""


@dataclass(frozen=True)
class Question:
    """Which model is asked, and how.

    Attributes:
        version_id: The version that answers.
        base_id: Its base, where the version is an adapter.
        engine: Name of the engine.
        max_tokens: Longest answer.
        stop: Texts that end an answer.
    """

    version_id: str
    base_id: str | None
    engine: str
    max_tokens: int
    stop: Sequence[str]


def answer_rows(
    ground: Ground,
    tenant_id: str,
    question: Question,
    prompts: Sequence[Prompt],
    needs: Collection[Need],
    work: WorkFile,
    on_progress: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> None:
    """Bring into ``work`` what is still missing there: answers (``text``) and log-probabilities (``logprobs``).

    An engine is started only if something is missing. Log-probabilities come from the evaluation's engine if it can
    give them, else from transformers.

    Args:
        ground: The ground.
        tenant_id: Whose model it is.
        question: Which model, and how.
        prompts: The rows.
        needs: What the metrics read.
        work: Holds what was answered before.
        on_progress: Told how many are done, of how many.
        cancelled: Asked about twice a second.

    Raises:
        EngineFailed: The engine died. InvalidInput: the engine refuses rows, for instance as too long; names them.
        Cancelled: ``cancelled`` said so. In each case what was answered stays in ``work``.
    """
    missing = {need: [p for p in prompts if need in needs and work.get(need, p.row_id) is None] for need in _ASK}
    total = len(needs) * len(prompts)
    done = total - sum(map(len, missing.values()))

    def on_result() -> None:
        nonlocal done
        done += 1
        on_progress(done, total)

    def ask(need: Need, engine: RunningEngine) -> None:
        record = {"kind": need, "engine": engine.name}
        _ask_all(partial(_ASK[need], engine, question), record, missing.pop(need), work, on_result, cancelled)

    if missing["text"] or (missing["logprobs"] and question.engine == SCORING_ENGINE):
        with _running(ground, tenant_id, question, question.engine) as engine:
            ask("text", engine)
            if engine.can_score:
                ask("logprobs", engine)
    if missing.get("logprobs"):
        with _running(ground, tenant_id, question, SCORING_ENGINE) as engine:
            ask("logprobs", engine)


@contextmanager
def _running(ground: Ground, tenant_id: str, question: Question, name: str) -> Iterator[RunningEngine]:
    base = question.base_id or question.version_id
    adapters = {question.version_id: question.version_id} if question.base_id else {}
    spec = spec_of_versions(ground, tenant_id, base, adapters)
    with ENGINES.get(name).start(spec, timeout_seconds=ground.settings.engine_start_seconds) as engine:
        yield engine


def _ask_all(
    ask: Callable[..., object],
    record: dict[str, str],
    prompts: Sequence[Prompt],
    work: WorkFile,
    on_result: Callable[[], None],
    cancelled: Callable[[], bool],
) -> None:
    """Ask for every row and keep each result; rows that the engine refuses are passed over, named at the end."""
    refused: list[str] = []
    left = list(prompts)
    while left and len(refused) < _MOST_REFUSED:
        try:
            _ask_and_keep(ask, record, left, work, on_result, cancelled)
        except MalformedRequest as fault:
            at_fault = left.pop(fault.details["index"])
            refused.append(f"row {at_fault.row_id}: {fault.message}")
        left = [prompt for prompt in left if work.get(record["kind"], prompt.row_id) is None]
    if refused:
        some = "at least " if left else ""
        raise InvalidInput(f"the engine refuses {some}{len(refused)} of {len(prompts)} rows: {'; '.join(refused)}")


def _ask_and_keep(
    ask: Callable[..., object],
    record: dict[str, str],
    prompts: Sequence[Prompt],
    work: WorkFile,
    on_result: Callable[[], None],
    cancelled: Callable[[], bool],
) -> None:
    with work.appending() as append:

        def keep(index: int, made: Completion | Score) -> None:
            append({**record, "row_id": prompts[index].row_id, **asdict(made)})
            on_result()

        ask(prompts, on_result=keep, cancelled=cancelled)


def _complete(engine: RunningEngine, question: Question, prompts: Sequence[Prompt], **watchers: Any) -> None:
    complete(
        engine,
        [_shaped(prompt) for prompt in prompts],
        adapter=_adapter(question),
        max_tokens=question.max_tokens,
        stop=question.stop,
        **watchers,
    )


def _score(engine: RunningEngine, question: Question, prompts: Sequence[Prompt], **watchers: Any) -> None:
    pairs = [(_shaped(prompt), prompt.continuation) for prompt in prompts]
    score(engine, pairs, adapter=_adapter(question), **watchers)


_ASK: dict[Need, Callable[..., None]] = {"text": _complete, "logprobs": _score}


def _shaped(prompt: Prompt) -> ChatPrompt | TextPrompt:
    return TextPrompt(prompt.content) if isinstance(prompt.content, str) else ChatPrompt(prompt.content)


def _adapter(question: Question) -> str | None:
    return question.version_id if question.base_id else None
