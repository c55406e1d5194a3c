"""Ask a model for what an evaluation needs, in batches that are on the disk before the next one is asked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial

from tunery.errors import InvalidInput, MalformedRequest
from tunery.evaluation.ports import Need
from tunery.evaluation.prompts import Prompt
from tunery.evaluation.work_file import WorkFile
from tunery.inference.completing import ChatPrompt, TextPrompt, complete, score
from tunery.inference.ports import ENGINES, RunningEngine
from tunery.inference.versions import spec_of_versions
from tunery.platform.ground import Ground

__all__ = ["Question", "answer_rows"]

BATCH = 64
SCORING_ENGINE = "transformers"
"""Gives log-probabilities where the evaluation's own engine cannot."""


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
    left = sum(map(len, missing.values()))
    total = len(needs) * len(prompts)
    done = total - left

    def ask(need: Need, engine: RunningEngine) -> None:
        nonlocal done
        waiting = missing.pop(need)
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start : start + BATCH]
            _ASK[need](engine, question, batch, work, partial(report, done), cancelled)
            done += len(batch)

    def report(before: int, so_far: int, _: int) -> None:
        on_progress(before + so_far, total)

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


def _complete(
    engine: RunningEngine,
    question: Question,
    batch: Sequence[Prompt],
    work: WorkFile,
    on_progress: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> None:
    def ask(prompts: Sequence[Prompt]) -> None:
        completions = complete(
            engine,
            [_shaped(prompt) for prompt in prompts],
            adapter=_adapter(question),
            max_tokens=question.max_tokens,
            stop=question.stop,
            on_progress=on_progress,
            cancelled=cancelled,
        )
        pairs = zip(prompts, completions, strict=True)
        work.append({"kind": "text", "row_id": prompt.row_id, **asdict(made)} for prompt, made in pairs)

    _refusing_by_row(ask, batch)


def _score(
    engine: RunningEngine,
    question: Question,
    batch: Sequence[Prompt],
    work: WorkFile,
    on_progress: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> None:
    def ask(prompts: Sequence[Prompt]) -> None:
        scores = score(
            engine,
            [(_shaped(prompt), prompt.continuation) for prompt in prompts],
            adapter=_adapter(question),
            on_progress=on_progress,
            cancelled=cancelled,
        )
        pairs = zip(prompts, scores, strict=True)
        work.append(
            {"kind": "logprobs", "row_id": prompt.row_id, "logprobs": list(made.logprobs), "engine": engine.name}
            for prompt, made in pairs
        )

    _refusing_by_row(ask, batch)


_ASK: dict[Need, Callable[..., None]] = {"text": _complete, "logprobs": _score}


def _refusing_by_row(ask: Callable[[Sequence[Prompt]], None], batch: Sequence[Prompt]) -> None:
    """Ask for a batch; where the engine refuses it, ask row by row, so that the error can name each row at fault."""
    try:
        ask(batch)
    except MalformedRequest:
        refused = []
        for prompt in batch:
            try:
                ask([prompt])
            except MalformedRequest as fault:
                refused.append(f"row {prompt.row_id}: {fault.message}")
        if refused:
            raise InvalidInput(
                f"the engine refuses {len(refused)} rows of a batch of {len(batch)}: " + "; ".join(refused[:5]),
                refused_rows=len(refused),
            ) from None


def _shaped(prompt: Prompt) -> ChatPrompt | TextPrompt:
    return TextPrompt(prompt.content) if isinstance(prompt.content, str) else ChatPrompt(prompt.content)


def _adapter(question: Question) -> str | None:
    return question.version_id if question.base_id else None
