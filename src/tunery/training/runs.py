"""Carry out a training run: bring rows and base to the disk, train in a child process, keep what came out."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tunery import audit
from tunery.datasets.operations import materialize_split
from tunery.datasets.versions.successors import hold_last
from tunery.errors import Cancelled, TuneryError
from tunery.kit.clock import now
from tunery.lineage.operations import Node, link
from tunery.platform.blobs.references import hold_files
from tunery.platform.compute import ENTRIES, run_in_child
from tunery.platform.events import emit
from tunery.platform.ground import Ground
from tunery.platform.jobs import Job, JobContext
from tunery.platform.jobs.context import LeaseLost
from tunery.registry.operations import checkout_version, resolve_version
from tunery.registry.operations.register import node_of
from tunery.training.consumed import consumed_bits
from tunery.training.operations import get_run
from tunery.training.schemas import TrainSpec
from tunery.training.tables import RunMetric, TrainingRun

__all__ = ["clear_run", "execute_run"]

ENTRIES.register("training.fit")("tunery.training.fit:fit")

_CURVE_SECONDS = 2.0


def execute_run(context: JobContext, run_id: str) -> TrainingRun:
    """Carry out a run and return it succeeded. Called again it goes on from the last checkpoint.

    Args:
        context: The job in which it runs; the child's events are reported there.
        run_id: From ``create_run``.

    Raises:
        InvalidInput: The rows or the settings do not fit; the run is then ``failed`` with the reason kept.
        SignatureInvalid, IntegrityError: the base is damaged. Cancelled: it goes on when it is retried.
    """
    with context.session() as session:
        run = get_run(session, run_id)
        if run.status == "succeeded":
            return run
        run.status, run.failure_reason, run.started_at = "running", None, run.started_at or now()
    try:
        result = _train(context, run)
        return _keep(context, run, result)
    except LeaseLost:
        raise
    except Cancelled:
        _stop(context, run_id, None)
        raise
    except Exception as fault:
        reason = fault.message if isinstance(fault, TuneryError) else f"a fault of ours: {type(fault).__name__}"
        _stop(context, run_id, reason)
        raise


def order_of(ground: Ground, run: TrainingRun, folder: Path) -> TrainSpec:
    """Bring rows and base of a run to the disk and return the order for the child. No session is held."""
    rows = folder / "rows"
    rows.mkdir(exist_ok=True)
    for split in ("train", "validation"):
        materialize_split(ground, run.tenant_id, run.dataset_version_id, split, rows / f"{split}.jsonl")
    has_validation = (rows / "validation.jsonl").stat().st_size > 0
    return TrainSpec(
        **run.config,
        model_dir=str(checkout_version(ground, run.tenant_id, run.base_version_id)),
        base_name=run.base_reference,
        train_path=str(rows / "train.jsonl"),
        validation_path=str(rows / "validation.jsonl") if has_validation else None,
        work_dir=str(folder / "work"),
        output_dir=str(folder / "output"),
        threads=ground.settings.threads or None,
    )


def _train(context: JobContext, run: TrainingRun) -> dict[str, Any]:
    folder = context.ground.settings.folder("runs", run.id)
    spec = order_of(context.ground, run, folder)
    curve = _Curve(context, run.id)

    def on_event(event: dict[str, Any]) -> None:
        curve.add(event)
        context.progress(event, always=event.get("type") != "progress")

    result = run_in_child(
        "training.fit",
        spec.model_dump(mode="json"),
        log_path=folder / "training.log",
        on_event=on_event,
        cancelled=context.cancelled,
    )
    curve.flush()
    return result


def _keep(context: JobContext, run: TrainingRun, result: dict[str, Any]) -> TrainingRun:
    blobs, tenant_id = context.ground.blobs, context.tenant_id
    output = Path(result.pop("output_dir"))
    near = _base_files(context, run)
    kept = [(name, blobs.put(tenant_id, output / name, like=near.get(name))) for name in result.pop("files")]
    row_ids_path = Path(result.pop("row_ids_path"))
    row_ids = blobs.put(tenant_id, row_ids_path, "application/x-ndjson")
    consumed = consumed_bits(context.ground, tenant_id, run.dataset_version_id, row_ids_path)
    with context.session() as session:
        left = hold_last(session, run.dataset_version_id)
        hold_files(session, [row_ids.digest, *(blob.digest for _, blob in kept)])
        run = get_run(session, run.id)
        run.status, run.finished_at, run.metrics = "succeeded", now(), result
        run.files = [{"path": name, "digest": blob.digest, "size_bytes": blob.size_bytes} for name, blob in kept]
        run.row_ids_digest = row_ids.digest
        run.consumed = consumed if left is not None and left.id == run.dataset_version_id else None
        node = Node("run", run.id, run.name)
        data = Node("dataset_version", run.dataset_version_id, run.dataset_reference, run.dataset_digest)
        link(session, data, node, "trained_on")
        link(session, node_of(resolve_version(session, run.base_version_id)), node, "derived_from")
        audit.record(session, context.actor, "run_succeeded", f"runs/{run.id}", row_ids=row_ids.digest)
        emit(session, context.actor, "runs.succeeded", f"runs/{run.id}", {"run_id": run.id})
    clear_run(context.ground, run.id, "work", "rows", "output")
    return run


def clear_run(ground: Ground, run_id: str, *names: str) -> None:
    """Remove parts of a run's working folder, as far as they are there."""
    for name in names:
        shutil.rmtree(ground.settings.folder("runs", run_id) / name, ignore_errors=True)


def _base_files(context: JobContext, run: TrainingRun) -> dict[str, str]:
    """Digests of the base's files by path: what a full fine-tune writes under the same name is a near copy of it."""
    with context.ground.database.session(context.tenant_id, read_only=True) as session:
        manifest = resolve_version(session, run.base_version_id).manifest
    return {file["path"]: file["digests"]["sha256"] for file in manifest["files"]}


def _stop(context: JobContext, run_id: str, reason: str | None) -> None:
    """Write that it did not succeed: failed for a reason, cancelled by a person, or put back by a worker that ends."""
    with context.session() as session:
        run = get_run(session, run_id)
        session.refresh(run, with_for_update=True)  # an erasure that marks it is waited for
        job = session.get(Job, context.job_id)
        asked = job is not None and job.cancel_requested_at is not None
        run.status = "failed" if reason else "cancelled" if asked else "queued"
        run.failure_reason = reason
    if run.not_repeatable is not None:
        clear_run(context.ground, run_id, "work", "rows")


class _Curve:
    """Writes a run's curves in handfuls. A resumed run repeats some steps; their points stand already."""

    def __init__(self, context: JobContext, run_id: str) -> None:
        self._context, self._run_id = context, run_id
        self._points: dict[tuple[str, int], float] = {}
        self._flushed_at = time.monotonic()

    def add(self, event: dict[str, Any]) -> None:
        """Take note of the numbers in an event."""
        for name, key in (("loss", "progress"), ("validation_loss", "evaluated")):
            if event.get("type") == key and isinstance(event.get(name), float):
                self._points[name, int(event["step"])] = event[name]
        if time.monotonic() - self._flushed_at > _CURVE_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was noted."""
        self._flushed_at = time.monotonic()
        if not self._points:
            return
        with self._context.session() as session:
            steps = [step for _, step in self._points]
            statement = sa.select(RunMetric).where(
                RunMetric.run_id == self._run_id, RunMetric.step.between(min(steps), max(steps))
            )
            standing = {(row.name, row.step) for row in session.scalars(statement)}
            for (name, step), value in self._points.items():
                if (name, step) not in standing:
                    session.add(RunMetric(run_id=self._run_id, name=name, step=step, value=value))
        self._points.clear()
