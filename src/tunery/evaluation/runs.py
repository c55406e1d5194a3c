"""Carry out an evaluation: build the prompts, ask the model, measure, keep. Each step can be repeated after a crash."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tunery import audit
from tunery.datasets.operations import rows_of
from tunery.datasets.tables import DatasetVersion
from tunery.datasets.versions.successors import hold_last, last_of
from tunery.errors import Cancelled, IntegrityError, InvalidInput, NotFound, TuneryError
from tunery.evaluation.answering import Question, answer_rows
from tunery.evaluation.metrics import metrics_by_name
from tunery.evaluation.operations import get_evaluation
from tunery.evaluation.ports import Answer, Metric
from tunery.evaluation.predictions import keep_predictions
from tunery.evaluation.prompts import Prompt, PromptSpec, Row, build_prompt, choose_shots, stop_texts
from tunery.evaluation.rows import read_rows
from tunery.evaluation.statistics import Score, score
from tunery.evaluation.tables import Evaluation, EvaluationScore
from tunery.evaluation.work_file import WorkFile
from tunery.kit.clock import now
from tunery.kit.digests import sha256_json
from tunery.lineage.operations import Node, link
from tunery.platform.blobs import Blob
from tunery.platform.blobs.references import hold_files
from tunery.platform.db import TenantSession
from tunery.platform.events import emit
from tunery.platform.ground import Ground
from tunery.platform.jobs import Job, JobContext
from tunery.platform.jobs.context import LeaseLost
from tunery.registry.operations import record_scores, resolve_version
from tunery.registry.operations.register import node_of

__all__ = ["clear_evaluation", "execute_evaluation"]


@dataclass(frozen=True)
class _Measured:
    scores: list[Score]
    predictions: list[dict[str, Any]]
    shots: list[Row]
    rows_digest: str
    usage: dict[str, Any]


def execute_evaluation(context: JobContext, evaluation_id: str) -> Evaluation:
    """Carry out an evaluation and return it completed. Called again it goes on; a completed one is returned as it is.

    Args:
        context: The job in which it runs; progress is reported there as ``{"type": "evaluation", "done", "total"}``.
        evaluation_id: From ``create_evaluation``.

    Raises:
        EngineFailed, InvalidInput, NotFound, SignatureInvalid: the evaluation is then ``failed`` with the reason kept.
        Cancelled: it is ``cancelled``, or goes on later where only the worker ended. What was answered is kept in each
        case, and is not asked again.
    """
    began = time.monotonic()
    with context.session() as session:
        row = get_evaluation(session, evaluation_id)
        if row.status == "completed":
            return row
        row.status, row.failure_reason = "running", None
    try:
        measured = _measure(context, row)
        row = _complete(context, row, measured, time.monotonic() - began)
    except LeaseLost:
        raise
    except Cancelled:
        _stop(context, evaluation_id, began, None)
        raise
    except Exception as fault:
        reason = fault.message if isinstance(fault, TuneryError) else f"a fault of ours: {type(fault).__name__}"
        _stop(context, evaluation_id, began, reason)
        raise
    clear_evaluation(context.ground, row.id)
    return row


def clear_evaluation(ground: Ground, evaluation_id: str) -> None:
    """Remove an evaluation's working folder: what the model answered so far."""
    shutil.rmtree(ground.settings.folder("evaluations", evaluation_id), ignore_errors=True)


def _measure(context: JobContext, row: Evaluation) -> _Measured:
    ground, tenant_id = context.ground, context.tenant_id
    metrics = metrics_by_name(row.metric_names)
    spec = PromptSpec.model_validate(row.prompt)
    rows = _sample(read_rows(ground, tenant_id, row.dataset_version_id, row.split), row.max_rows)
    if not rows:
        raise InvalidInput(f"the split {row.split!r} of {row.benchmark_name}:{row.benchmark_version} has no rows")
    shots: list[Row] = []
    if spec.shots:
        train = read_rows(ground, tenant_id, row.dataset_version_id, "train")
        shots = choose_shots(train, spec, [str(one["row_id"]) for one in rows])
    prompts = [build_prompt(one, spec, shots) for one in rows]
    _check_fit(metrics, prompts)
    with ground.database.session(tenant_id, read_only=True) as session:
        version = resolve_version(session, row.model_version_id)
        base_id = version.base_version_id if version.kind == "adapter" else None
    question = Question(row.model_version_id, base_id, row.engine, row.max_tokens, stop_texts(spec, shots))
    work = WorkFile(ground.settings.folder("evaluations", row.id) / "answers.jsonl")
    needs = {metric.needs for metric in metrics}

    def on_progress(done: int, total: int) -> None:
        event = {"type": "evaluation", "evaluation_id": row.id, "model": row.model_reference}
        context.progress({**event, "done": done, "total": total}, always=done == total)

    answer_rows(ground, tenant_id, question, prompts, needs, work, on_progress, context.cancelled)
    predictions = [_prediction(prompt, work) for prompt in prompts]
    answers = [_answer(one) for one in predictions]
    scores = [score(metric, answers) for metric in metrics]
    for metric in metrics:
        for one, value in zip(predictions, metric.measure(answers).values, strict=True):
            one["metrics"][metric.name] = float(value)
    return _Measured(
        scores=scores,
        predictions=predictions,
        shots=shots,
        rows_digest=sha256_json([prompt.row_id for prompt in prompts]),
        usage=_usage(predictions) | _engines(work, prompts),
    )


def _complete(context: JobContext, plan: Evaluation, measured: _Measured, seconds: float) -> Evaluation:
    while True:
        with context.ground.database.session(context.tenant_id, read_only=True) as session:
            known = last_of(session, plan.dataset_version_id)
        predictions, fault = None, None
        try:
            predictions = _keep(context, plan, measured, known)
        except (NotFound, IntegrityError) as error:  # an erasure destroyed the rows while they were read?
            fault = error
        with context.session() as session:
            left = hold_last(session, plan.dataset_version_id)
            if (known and known.id) != (left and left.id):
                continue
            if fault is not None:
                raise fault
            return _write(session, context, plan, measured, predictions, seconds)


def _keep(context: JobContext, plan: Evaluation, measured: _Measured, left: DatasetVersion | None) -> Blob | None:
    """Keep the predictions on rows that stand still in what is left of the dataset version; return where they are,
    which is nowhere if an example that they all show was erased."""
    ground, kept = context.ground, measured.predictions
    if left is None:
        return None
    if left.id != plan.dataset_version_id:
        standing = {row.row_id for row in rows_of(ground, left)}
        if any(shot["row_id"] not in standing for shot in measured.shots):
            return None
        kept = [one for one in kept if one["row_id"] in standing]
    return keep_predictions(ground, context.tenant_id, kept)


def _write(
    session: TenantSession,
    context: JobContext,
    plan: Evaluation,
    measured: _Measured,
    predictions: Blob | None,
    seconds: float,
) -> Evaluation:
    if predictions is not None:
        hold_files(session, [predictions.digest])
    row = get_evaluation(session, plan.id)
    first = measured.scores[0]
    for one in measured.scores:
        session.add(EvaluationScore(evaluation_id=row.id, **asdict(one)))
    row.status, row.evaluated_at = "completed", now()
    row.overall_score, row.sample_count = first.value, first.n
    row.metrics = {one.metric: one.value for one in measured.scores}
    row.task_scores = [
        {"taskName": f"{row.benchmark_name}/{row.split}", "metric": one.metric, "score": one.value}
        | {"sampleCount": one.n}
        for one in measured.scores
    ]
    row.rows_digest, row.predictions_digest = measured.rows_digest, predictions.digest if predictions else None
    row.shot_row_ids = [str(shot["row_id"]) for shot in measured.shots]
    row.usage = measured.usage
    row.evaluation_duration += seconds
    session.flush()
    session.refresh(row, ["score_rows"])
    _tell(session, context, row, measured.scores)
    return row


def _tell(session: TenantSession, context: JobContext, row: Evaluation, scores: Sequence[Score]) -> None:
    """Let registry, lineage, audit and events know, in the same transaction."""
    where = {"dataset": f"{row.benchmark_name}:{row.benchmark_version}", "split": row.split, "evaluation_id": row.id}
    kept = {
        one.metric: {"value": one.value, "ci_low": one.ci_low, "ci_high": one.ci_high, "n": one.n, **where}
        for one in scores
    }
    record_scores(session, row.model_version_id, kept)
    node = Node("evaluation", row.id, f"{row.model_reference} on {where['dataset']}", row.predictions_digest)
    data = Node("dataset_version", row.dataset_version_id, where["dataset"], row.dataset_digest)
    link(session, data, node, "evaluated_on")
    link(session, node_of(resolve_version(session, row.model_version_id)), node, "evaluated_on")
    audit.record(
        session, context.actor, "evaluation_completed", f"evaluations/{row.id}", scores=row.metrics, n=row.sample_count
    )
    emit(session, context.actor, "evaluations.completed", f"evaluations/{row.id}", {"scores": row.metrics})


def _stop(context: JobContext, evaluation_id: str, began: float, reason: str | None) -> None:
    """Write that it did not complete: failed for a reason, cancelled by a person, or put back by a worker that ends."""
    with context.session() as session:
        row = get_evaluation(session, evaluation_id)
        left = hold_last(session, row.dataset_version_id)  # before the row is changed: an erasure changes it too
        job = session.get(Job, context.job_id)
        asked = job is not None and job.cancel_requested_at is not None
        row.status = "failed" if reason else "cancelled" if asked else "pending"
        row.failure_reason = reason
        row.evaluation_duration += time.monotonic() - began
    if left is None or left.id != row.dataset_version_id:
        clear_evaluation(context.ground, evaluation_id)


def _sample(rows: Sequence[Row], most: int | None) -> list[Row]:
    """Return the rows in the order of their ids, at most so many, drawn by the hash of the id."""
    drawn = list(rows)
    if most is not None and most < len(drawn):
        drawn.sort(key=lambda row: hashlib.sha256(str(row["row_id"]).encode()).digest())
        drawn = drawn[:most]
    return sorted(drawn, key=lambda row: str(row["row_id"]))


def _check_fit(metrics: Sequence[Metric], prompts: Sequence[Prompt]) -> None:
    """Refuse, before a model is asked, metrics that cannot read these references. Raises: InvalidInput."""
    for metric in metrics:
        if metric.needs == "text":
            unasked = sum(not prompt.content for prompt in prompts)
            if unasked:
                raise InvalidInput(
                    f"{metric.name} needs something to ask, but {unasked} of {len(prompts)} rows are plain text; "
                    "perplexity can measure those"
                )
            metric.measure([Answer(prompt.reference, prompt.reference) for prompt in prompts])


def _prediction(prompt: Prompt, work: WorkFile) -> dict[str, Any]:
    text, scored = work.get("text", prompt.row_id), work.get("logprobs", prompt.row_id)
    one: dict[str, Any] = {
        "row_id": prompt.row_id,
        "prompt": prompt.content,
        "prediction": text["text"] if text else "",
        "reference": prompt.reference,
        "metrics": {},
    }
    if text:
        one |= {name: text[name] for name in ("prompt_tokens", "completion_tokens", "finish_reason", "seconds")}
    if scored:
        one["logprobs"] = scored["logprobs"]
    return one


def _answer(prediction: dict[str, Any]) -> Answer:
    logprobs = prediction.get("logprobs")
    return Answer(prediction["prediction"], prediction["reference"], tuple(logprobs) if logprobs is not None else None)


def _engines(work: WorkFile, prompts: Sequence[Prompt]) -> dict[str, str]:
    """Return which engines gave texts and log-probabilities."""
    kept = {need: work.get(need, prompts[0].row_id) for need in ("text", "logprobs")}
    return {f"{need}_engine": record["engine"] for need, record in kept.items() if record}


def _usage(predictions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    asked = [one for one in predictions if "seconds" in one]
    if not asked:
        return {}
    seconds = sorted(one["seconds"] for one in asked)
    return {
        "prompt_tokens": sum(one["prompt_tokens"] for one in asked),
        "completion_tokens": sum(one["completion_tokens"] for one in asked),
        "cut_at_max_tokens": sum(one["finish_reason"] == "length" for one in asked),
        "latency_p50_seconds": seconds[len(seconds) // 2],
        "latency_p95_seconds": seconds[min(len(seconds) - 1, int(len(seconds) * 0.95))],
    }
