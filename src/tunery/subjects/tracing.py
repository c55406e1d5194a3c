"""What saw a person's rows: versions, runs, evaluations, models, deployments, and whoever took copies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import undefer

from tunery.audit.tables import AuditEntry
from tunery.datasets.identifiers import PURPOSE, entries_for
from tunery.datasets.pii.normalizing import NORMALIZER_VERSION
from tunery.datasets.tables import DatasetFile, DatasetVersion, DatasetVersionFile
from tunery.datasets.versions.contents import files_of
from tunery.datasets.versions.finding import FoundRow, find_lines, find_rows
from tunery.datasets.versions.successors import Link, chains_to
from tunery.evaluation.tables import Evaluation
from tunery.lineage.operations import descendants
from tunery.platform.blobs.index import in_parts
from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground
from tunery.registry.tables import Model, ModelVersion
from tunery.serving.tables import Deployment
from tunery.subjects.schemas import Saw, SeenBy, SeenRow, Trace
from tunery.training.consumed import took_in
from tunery.training.tables import TrainingRun

__all__ = [
    "Found",
    "evaluations_on",
    "find_subject",
    "not_indexed",
    "places_of",
    "rows_of_version",
    "runs_on",
    "trace_subject",
    "what_saw",
]

_COPIES = {
    "model_downloaded": "download",
    "dataset_exported": "export",
    "dataset_read": "reading",
    "model_exported": "export",
}


@dataclass(frozen=True)
class Found:
    """Where a person's rows are.

    Attributes:
        rows: Rows in files; the same row may lie in several files.
        versions: The versions that list each of these files, by the file's id.
        lines: Lines of source files, by their digest.
    """

    rows: list[FoundRow]
    versions: dict[str, list[DatasetVersion]]
    lines: dict[str, list[int]]

    @property
    def all_versions(self) -> list[DatasetVersion]:
        """Every version that holds such a row, the oldest first."""
        known = {version.id: version for versions in self.versions.values() for version in versions}
        return sorted(known.values(), key=lambda version: version.id)


def find_subject(ground: Ground, session: TenantSession, entries: Sequence[bytes]) -> Found:
    """Return where the rows are that entries of the subject index lead to."""
    rows = find_rows(ground, session.tenant_id, entries)
    versions: dict[str, list[DatasetVersion]] = {}
    listed = sa.select(DatasetVersionFile.file_id, DatasetVersion).join(
        DatasetVersion, DatasetVersion.id == DatasetVersionFile.version_id
    )
    for part in in_parts({row.file.id for row in rows}):
        for file_id, version in session.execute(
            listed.where(DatasetVersionFile.file_id.in_(part), DatasetVersion.status == "ready")
        ):
            versions.setdefault(file_id, []).append(version)
    held = [row for row in rows if row.file.id in versions]
    return Found(held, versions, find_lines(ground, session.tenant_id, entries))


def trace_subject(ground: Ground, session: TenantSession, identifier: str) -> Trace:
    """Return everything that saw the rows of a person."""
    secrets = ground.blobs.keyring.secrets.every(session.tenant_id, PURPOSE)
    found = find_subject(ground, session, entries_for(identifier, secrets))
    rows: dict[tuple[str, str], SeenRow] = {}
    for row in found.rows:
        for version in found.versions[row.file.id]:
            key = version.dataset.name, row.row_id
            seen = rows.setdefault(key, SeenRow(dataset=key[0], row_id=row.row_id, split=row.split, versions=[]))
            seen.versions.append(version.reference)
    return Trace(
        rows=[rows[key] for key in sorted(rows)],
        sources=found.lines,
        seen_by=what_saw(session, found),
        not_indexed=not_indexed(session),
        normalizer=NORMALIZER_VERSION,
    )


def not_indexed(session: TenantSession) -> list[str]:
    """Return the versions with rows that were not looked at for people."""
    files = sa.select(DatasetFile.id).where(DatasetFile.indexed.is_(False))
    listed = sa.select(DatasetVersionFile.version_id).where(DatasetVersionFile.file_id.in_(files))
    versions = sa.select(DatasetVersion).where(DatasetVersion.status == "ready", DatasetVersion.id.in_(listed))
    return [version.reference for version in session.scalars(versions.order_by(DatasetVersion.id))]


def what_saw(session: TenantSession, found: Found) -> list[SeenBy]:
    """Return the runs, evaluations, models, deployments and copies that saw the rows.

    Whatever saw a version that was erased since saw the rows that now stand in its successor.
    """
    chain = chains_to(session, found.all_versions)
    runs = _runs(session, found, chain)
    models = _models(session, runs)
    names = [*{link.reference for link in chain.values()}, *(one.name for one in models)]
    return [
        *runs,
        *_evaluations(session, found, chain),
        *models,
        *_deployments(session, models),
        *_copies(session, names),
    ]


def _runs(session: TenantSession, found: Found, chain: Mapping[str, Link]) -> list[SeenBy]:
    places, seen = places_of(session, found), []
    for run in runs_on(session, chain):
        took = took_in(run, places[chain[run.dataset_version_id].standing_id])
        if took is not False:
            name = f"{run.name} ({run.id})"
            seen.append(SeenBy(kind="run", id=run.id, name=name, saw="consumed" if took else "unknown"))
    return seen


def _evaluations(session: TenantSession, found: Found, chain: Mapping[str, Link]) -> list[SeenBy]:
    """Return those that asked about such a row or may have, or showed it as an example or may have."""
    seen = []
    for one in evaluations_on(session, chain):
        rows = rows_of_version(found, chain[one.dataset_version_id].standing_id)
        splits = {row.split for row in rows}
        shown = one.shot_row_ids is not None and not {row.row_id for row in rows}.isdisjoint(one.shot_row_ids)
        may_show = one.shot_row_ids is None and bool(one.prompt.get("shots")) and "train" in splits
        if one.split in splits or shown or may_show:
            exact = shown or (one.status == "completed" and one.split in splits and one.max_rows is None)
            name = f"{one.model_reference} on {one.benchmark_name}"
            seen.append(SeenBy(kind="evaluation", id=one.id, name=name, saw="consumed" if exact else "unknown"))
    return seen


def runs_on(session: TenantSession, version_ids: Iterable[str]) -> list[TrainingRun]:
    """Return the runs on dataset versions, in the order of their ids, with what they took in."""
    runs = sa.select(TrainingRun).options(undefer(TrainingRun.consumed))
    parts = (runs.where(TrainingRun.dataset_version_id.in_(part)) for part in in_parts(version_ids))
    return sorted((run for some in parts for run in session.scalars(some)), key=lambda run: run.id)


def evaluations_on(session: TenantSession, version_ids: Iterable[str]) -> list[Evaluation]:
    """Return the evaluations on dataset versions, in the order of their ids."""
    parts = (sa.select(Evaluation).where(Evaluation.dataset_version_id.in_(part)) for part in in_parts(version_ids))
    return sorted((one for some in parts for one in session.scalars(some)), key=lambda one: one.id)


def places_of(session: TenantSession, found: Found) -> dict[str, list[int]]:
    """Return the rows' places in each version that holds any, counted from its first row."""
    places: dict[str, list[int]] = {}
    for version in found.all_versions:
        starts, start = {}, 0
        for file in files_of(session, version):
            starts[file.id] = start
            start += file.total_rows
        places[version.id] = [starts[row.file.id] + row.number for row in found.rows if row.file.id in starts]
    return places


def rows_of_version(found: Found, version_id: str) -> list[FoundRow]:
    """Return the rows that a version holds."""
    files = {file_id for file_id, versions in found.versions.items() if version_id in {one.id for one in versions}}
    return [row for row in found.rows if row.file.id in files]


def _models(session: TenantSession, runs: Sequence[SeenBy]) -> list[SeenBy]:
    """Return the models that stand on runs; of one that stands on several the surest is told."""
    saw: dict[str, Saw] = {}
    degrees: tuple[Saw, Saw] = ("unknown", "consumed")
    for degree in degrees:
        nodes = descendants(session, "run", [run.id for run in runs if run.saw == degree])
        saw |= {node.ref: degree for node in nodes if node.kind == "model_version"}
    named = sa.select(ModelVersion.id, Model.name, ModelVersion.version).join(Model, Model.id == ModelVersion.model_id)
    return [
        SeenBy(kind="model_version", id=version_id, name=f"{name}:{version}", saw=saw[version_id])
        for part in in_parts(sorted(saw))
        for version_id, name, version in session.execute(
            named.where(ModelVersion.id.in_(part)).order_by(ModelVersion.id)
        )
    ]


def _deployments(session: TenantSession, models: Sequence[SeenBy]) -> list[SeenBy]:
    saw = {model.id: model.saw for model in models}
    return [
        SeenBy(kind="deployment", id=row.id, name=row.name, saw=saw.get(row.version_id, "consumed"))
        for row in session.scalars(sa.select(Deployment).order_by(Deployment.id))
        if row.version_id in saw or row.served_version_id in saw
    ]


def _copies(session: TenantSession, names: Sequence[str]) -> list[SeenBy]:
    taken = sa.select(AuditEntry).where(AuditEntry.action.in_(_COPIES))
    parts = (taken.where(AuditEntry.resource.in_(part)) for part in in_parts(names))
    entries = (entry for some in parts for entry in session.scalars(some))
    return [
        SeenBy(kind=_COPIES[entry.action], id=entry.id, name=entry.resource, by=entry.user, at=entry.created_at)
        for entry in sorted(entries, key=lambda entry: entry.id)
    ]
