"""Erase a person's rows: from every version, source, set-aside row and prediction, for good.

A version consists of whole files, so the versions that hold a row are those that list its file. Each such file is
written once more without the row; each version that listed it gets a successor that lists the new one beside its
others, and is then ``erased``. All that SQL says of it changes in one transaction; only then are the old bytes
destroyed, which can be repeated. Nothing here knows who the person is: it has keyed hashes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from tunery.datasets.tables import (
    ERASED,
    Dataset,
    DatasetFile,
    DatasetTag,
    DatasetVersion,
    DatasetVersionFile,
    ForgottenSubject,
)
from tunery.datasets.versions.contents import files_of
from tunery.datasets.versions.finding import FoundRow
from tunery.datasets.versions.recording import Change, node_of, record_version
from tunery.datasets.versions.rewriting import without_rows
from tunery.datasets.versions.successors import chains_to
from tunery.datasets.versions.writing import Written, write_version
from tunery.errors import IntegrityError, NotFound, StaleState
from tunery.evaluation.tables import Evaluation
from tunery.kit.clock import now
from tunery.platform.blobs.index import in_parts
from tunery.platform.blobs.references import hold_files
from tunery.platform.db import TenantSession
from tunery.platform.housekeeping import scratch_folder
from tunery.platform.jobs import JobContext
from tunery.platform.jobs.context import LeaseLost
from tunery.registry.holds import place_hold
from tunery.registry.tables import ModelVersion
from tunery.subjects.evidence import cause_of, why_held
from tunery.subjects.schemas import SeenBy
from tunery.subjects.tables import Erasure
from tunery.subjects.tracing import Found, evaluations_on, find_subject, places_of, rows_of_version, runs_on, what_saw
from tunery.training.consumed import without_places
from tunery.training.tables import TrainingRun

__all__ = ["decide_erasure", "hold_datasets"]

_TRIES = 5


@dataclass
class _Plan:
    """What was made before anything is changed: new bytes that nobody names yet."""

    found: Found
    files: dict[str, list[DatasetFile]] = field(default_factory=dict)
    versions: list[tuple[DatasetVersion, Written | None]] = field(default_factory=list)
    predictions: dict[str, _Predictions] = field(default_factory=dict)


class _Predictions(NamedTuple):
    """Digests of an evaluation's predictions as they are, and without the rows."""

    before: str | None
    after: str | None


def decide_erasure(context: JobContext, entries: Sequence[bytes], forgotten: Sequence[str], reason: str) -> Erasure:
    """Let no row of the house name the person's bytes any more; return what is to be destroyed.

    Called again for the same job it takes in what came meanwhile, such as an import that had begun before.
    """
    for left in reversed(range(_TRIES)):
        try:
            with scratch_folder(context.ground.settings, "erase") as scratch:
                plan = _prepare(context, entries, scratch)
            with context.session() as session:
                return _decide(context, session, plan, entries, forgotten, reason)
        except LeaseLost:
            raise
        except (StaleState, NotFound, IntegrityError):  # another erasure destroys what this one reads
            if not left:
                raise
    raise AssertionError


def _prepare(context: JobContext, entries: Sequence[bytes], scratch: Path) -> _Plan:
    ground, tenant_id = context.ground, context.tenant_id
    with ground.database.session(tenant_id, read_only=True) as session:
        plan = _Plan(find_subject(ground, session, entries))
        listed = {version.id: files_of(session, version) for version in plan.found.all_versions}
        chain = chains_to(session, plan.found.all_versions)
        judged = evaluations_on(session, chain)
    for file in {row.file.id: row.file for row in plan.found.rows}.values():
        row_ids = {row.row_id for row in plan.found.rows if row.file.id == file.id}
        plan.files[file.id], _ = without_rows(ground, tenant_id, file.dataset_id, [file], row_ids, scratch)
    for version in plan.found.all_versions:
        files = [new for file in listed[version.id] for new in plan.files.get(file.id, [file])]
        written = write_version(ground, tenant_id, version.dataset_id, files) if files else None
        plan.versions.append((version, written))
    for one in judged:
        rows = rows_of_version(plan.found, chain[one.dataset_version_id].standing_id)
        plan.predictions[one.id] = _Predictions(one.predictions_digest, _cut_predictions(context, one, rows))
    return plan


def _cut_predictions(context: JobContext, evaluation: Evaluation, rows: Sequence[FoundRow]) -> str | None:
    """Put an evaluation's predictions without the rows; all go where such a row was an example in each of them."""
    blobs, digest = context.ground.blobs, evaluation.predictions_digest
    if digest is None or not {row.row_id for row in rows}.isdisjoint(evaluation.shot_row_ids or ()):
        return None
    asked = {row.row_id for row in rows if row.split == evaluation.split}
    lines = blobs.read(context.tenant_id, digest).splitlines(keepends=True) if asked else []
    kept = [line for line in lines if json.loads(line)["row_id"] not in asked]
    if len(kept) == len(lines):
        return digest
    return blobs.put(context.tenant_id, b"".join(kept), "application/x-ndjson").digest


def _decide(
    context: JobContext,
    session: TenantSession,
    plan: _Plan,
    entries: Sequence[bytes],
    forgotten: Sequence[str],
    reason: str,
) -> Erasure:
    seen = _hold_still(context, session, plan, entries)
    erasure = session.get(Erasure, context.job_id)
    if erasure is None:
        erasure = Erasure(id=context.job_id, reason=reason, reached=_nothing(), created_by=context.actor.name)
        session.add(erasure)
        known = {*session.scalars(sa.select(ForgottenSubject.entry).where(ForgottenSubject.entry.in_(forgotten)))}
        session.add_all(ForgottenSubject(entry=entry) for entry in forgotten if entry not in known)
        session.flush()
    reached: dict[str, Any] = json.loads(json.dumps(erasure.reached))
    doomed = {*erasure.doomed}
    reached["rows"] += len({(row.file.dataset_id, row.row_id) for row in plan.found.rows})
    _take_bits_out(session, plan)
    reached["versions"] += [_succeed(context, session, *each) for each in plan.versions]
    doomed |= _let_go_of_files(session, plan)
    doomed |= _let_go_of_sources(session, plan, reached)
    hold_files(session, [after for before, after in plan.predictions.values() if after is not None and after != before])
    for evaluation_id, (before, after) in plan.predictions.items():
        if before != after:
            doomed.add(str(before))
            session.get_one(Evaluation, evaluation_id).predictions_digest = after
    _mark(context, session, erasure, seen, reached)
    erasure.reached, erasure.doomed, erasure.status = reached, sorted(doomed), "decided"
    return erasure


def _nothing() -> dict[str, Any]:
    return {"rows": 0, "versions": [], "sources": [], "runs": [], "evaluations": [], "models": [], "copies": []}


def _hold_still(context: JobContext, session: TenantSession, plan: _Plan, entries: Sequence[bytes]) -> list[SeenBy]:
    """Let nothing that bears on the plan come before the transaction ends; return what saw the rows.

    Runs and evaluations that end wait for the versions, registrations for models and runs, always in this order.

    Raises: StaleState: something came since the plan was made.
    """
    hold_datasets(session)
    _lock(session, DatasetVersion, (version.id for version, _ in plan.versions))
    there = find_subject(context.ground, session, entries)
    if {one.id for one in there.all_versions} != {
        one.id for one, _ in plan.versions
    } or there.lines != plan.found.lines:
        raise StaleState("versions came while rows were being erased")
    judged = evaluations_on(session, chains_to(session, there.all_versions))
    if {one.id: one.predictions_digest for one in judged} != {
        evaluation_id: predictions.before for evaluation_id, predictions in plan.predictions.items()
    }:
        raise StaleState("an evaluation came or ended while rows were being erased")
    seen = what_saw(session, plan.found)
    _lock(session, ModelVersion, (one.id for one in seen if one.kind == "model_version"))
    _lock(session, TrainingRun, (one.id for one in seen if one.kind == "run"))
    if what_saw(session, plan.found) != seen:
        raise StaleState("a model was registered while rows were being erased")
    return seen


def hold_datasets(session: TenantSession) -> None:
    """Wait for imports that are about to end, and let none end until this transaction does.

    Each locks its dataset before it looks at the list of the forgotten, so whoever locks them behind the decision and
    looks for rows finds those of the last import that did not know of it, even into a dataset that is new.
    """
    session.execute(sa.select(Dataset.id).order_by(Dataset.id).with_for_update()).all()


def _lock(session: TenantSession, table: type[DatasetVersion | ModelVersion | TrainingRun], ids: Iterable[str]) -> None:
    for part in in_parts(sorted({*ids})):
        session.execute(sa.select(table.id).where(table.id.in_(part)).order_by(table.id).with_for_update()).all()


def _take_bits_out(session: TenantSession, plan: _Plan) -> None:
    """Let what runs took in be told in the order of the rows that are left."""
    chain, places = chains_to(session, plan.found.all_versions), places_of(session, plan.found)
    for run in runs_on(session, chain):
        if run.consumed is not None:
            run.consumed = without_places(run.consumed, places[chain[run.dataset_version_id].standing_id])


def _succeed(
    context: JobContext, session: TenantSession, version: DatasetVersion, written: Written | None
) -> dict[str, Any]:
    """Erase a version, and let its successor follow it."""
    row = session.get_one(DatasetVersion, version.id)
    told: dict[str, Any] = {"version": row.reference, "digest": row.digest, "successor": None}
    if written is not None:
        gone = row.total_samples - sum(written.rows.values())
        step = {
            "step": "erase",
            "description": f"Erased rows of a person from {row.reference}",
            "affectedSamples": gone,
            "timestamp": now().isoformat(),
            "parameters": {},
        }
        steps = [*row.provenance["preprocessingSteps"], step]
        columns: dict[str, Any] = {
            "shape": row.shape,
            "options": row.options,
            "provenance": row.provenance | {"preprocessingSteps": steps},
            "source_digest": row.source_digest,
            "source_subjects_digest": row.source_subjects_digest,
            "quarantine_digest": row.quarantine_digest,
            "quarantined": row.quarantined,
        }
        change = Change("erase", f"{context.job_id}-{row.version}", None, node_of(row), columns)
        current = row.version == row.dataset.current_version
        successor = record_version(session, context.actor, row.dataset, written, change, current=current)
        row.successor_id = successor.id
        moved = sa.update(DatasetTag).where(DatasetTag.version_id == row.id).values(version_id=successor.id)
        session.execute(moved)
        told |= {"successor": successor.reference, "successorDigest": successor.digest, "rows": gone}
    row.status, row.import_id = "erased", f"{ERASED}{row.import_id}"  # the same file again is a version of its own
    row.source_digest = row.source_subjects_digest = row.quarantine_digest = None
    return told


def _let_go_of_files(session: TenantSession, plan: _Plan) -> set[str]:
    """Forget the files that held the rows; return the digests of what is to be destroyed."""
    gone = {row.file.id for row in plan.found.rows}
    erased = [version.id for version, _ in plan.versions]
    for column, ids in ((DatasetVersionFile.version_id, erased), (DatasetVersionFile.file_id, gone)):
        for part in in_parts(ids):
            session.execute(sa.delete(DatasetVersionFile).where(column.in_(part)))
    doomed: set[str] = set()
    for part in in_parts(gone):
        for file in session.scalars(sa.select(DatasetFile).where(DatasetFile.id.in_(part))):
            doomed |= {file.digest, *filter(None, (file.subjects_digest,))}
            session.delete(file)
    session.flush()
    return doomed


def _let_go_of_sources(session: TenantSession, plan: _Plan, reached: dict[str, Any]) -> set[str]:
    """Let no version name a source that names the person, nor what was set aside from it."""
    doomed: set[str] = {*plan.found.lines}
    for part in in_parts(plan.found.lines):
        for version in session.scalars(sa.select(DatasetVersion).where(DatasetVersion.source_digest.in_(part))):
            doomed |= {*filter(None, (version.source_subjects_digest, version.quarantine_digest))}
            version.source_digest = version.source_subjects_digest = version.quarantine_digest = None
    reached["sources"] = sorted({*reached["sources"], *plan.found.lines})
    session.flush()
    return doomed


def _mark(
    context: JobContext, session: TenantSession, erasure: Erasure, seen: Sequence[SeenBy], reached: dict[str, Any]
) -> None:
    cause = cause_of(erasure)
    for one in seen:
        if one.kind == "run":
            session.get_one(TrainingRun, one.id).not_repeatable = f"rows that it was given were erased ({cause})"
        if one.kind == "model_version":
            place_hold(session, context.actor, session.get_one(ModelVersion, one.id), cause, why_held(one.saw))
    lists = {"run": "runs", "evaluation": "evaluations", "model_version": "models", "deployment": "deployments"}
    for one in seen:
        told = one.model_dump(mode="json", exclude_none=True, exclude={"kind"})
        if told not in (kept := reached.setdefault(lists.get(one.kind, "copies"), [])):
            kept.append(told)
