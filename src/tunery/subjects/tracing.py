"""What saw a person's rows: versions, runs, evaluations, models, deployments, and whoever took copies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from tunery.audit.tables import AuditEntry
from tunery.datasets.identifiers import PURPOSE, entries_for
from tunery.datasets.pii.normalizing import NORMALIZER_VERSION
from tunery.datasets.tables import DatasetFile, DatasetVersion, DatasetVersionFile
from tunery.datasets.versions.finding import FoundRow, find_lines, find_rows
from tunery.evaluation.tables import Evaluation
from tunery.lineage.operations import descendants
from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground
from tunery.registry.tables import ModelVersion
from tunery.serving.tables import Deployment
from tunery.subjects.schemas import SeenBy, SeenRow, Trace
from tunery.training.consumed import took_in
from tunery.training.tables import TrainingRun

__all__ = ["Found", "find_subject", "rows_of_version", "trace_subject", "what_saw"]

_COPIES = {"model_downloaded": "download", "dataset_exported": "export", "model_exported": "export"}


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
    for file_id, version in session.execute(
        listed.where(DatasetVersionFile.file_id.in_({row.file.id for row in rows}), DatasetVersion.status == "ready")
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
    unindexed = sa.select(DatasetVersion).where(
        DatasetVersion.status == "ready", DatasetVersion.options["subject_index"].as_boolean().is_(False)
    )
    return Trace(
        rows=[rows[key] for key in sorted(rows)],
        sources=found.lines,
        seen_by=what_saw(session, found),
        not_indexed=[version.reference for version in session.scalars(unindexed.order_by(DatasetVersion.id))],
        normalizer=NORMALIZER_VERSION,
    )


def what_saw(session: TenantSession, found: Found) -> list[SeenBy]:
    """Return the runs, evaluations, models, deployments and copies that saw the rows."""
    places = _places(session, found)
    seen: list[SeenBy] = []
    for run in session.scalars(sa.select(TrainingRun).where(TrainingRun.dataset_version_id.in_(places))):
        took = took_in(run, places[run.dataset_version_id])
        if took is not False:
            name = f"{run.name} ({run.id})"
            seen.append(SeenBy(kind="run", id=run.id, name=name, saw="consumed" if took else "unknown"))
    splits = {version_id: {row.split for row in rows_of_version(found, version_id)} for version_id in places}
    for evaluation in session.scalars(sa.select(Evaluation).where(Evaluation.dataset_version_id.in_(places))):
        shots = {*(evaluation.shot_row_ids or ())}
        shown = shots & {row.row_id for row in rows_of_version(found, evaluation.dataset_version_id)}
        if evaluation.split in splits[evaluation.dataset_version_id] or shown:
            name = f"{evaluation.model_reference} on {evaluation.benchmark_name}"
            exact = evaluation.max_rows is None or bool(shown)
            seen.append(SeenBy(kind="evaluation", id=evaluation.id, name=name, saw="consumed" if exact else "unknown"))
    models = _models(session, [one for one in seen if one.kind == "run"])
    seen += models
    seen += _deployments(session, models)
    seen += _copies(session, [*{version.reference for version in found.all_versions}, *(one.name for one in models)])
    return seen


def _places(session: TenantSession, found: Found) -> dict[str, list[int]]:
    """Return the rows' places in each version that holds any, counted from its first row."""
    places: dict[str, list[int]] = {}
    for version in found.all_versions:
        starts, start = {}, 0
        listed = sa.select(DatasetVersionFile.file_id).where(DatasetVersionFile.version_id == version.id)
        for file in session.scalars(
            sa.select(DatasetFile).where(DatasetFile.id.in_(listed)).order_by(DatasetFile.sequence, DatasetFile.id)
        ):
            starts[file.id] = start
            start += file.total_rows
        places[version.id] = [starts[row.file.id] + row.number for row in found.rows if row.file.id in starts]
    return places


def rows_of_version(found: Found, version_id: str) -> list[FoundRow]:
    """Return the rows that a version holds."""
    files = {file_id for file_id, versions in found.versions.items() if version_id in {one.id for one in versions}}
    return [row for row in found.rows if row.file.id in files]


def _models(session: TenantSession, runs: Iterable[SeenBy]) -> list[SeenBy]:
    found: dict[str, SeenBy] = {}
    for run in runs:
        for node in descendants(session, "run", run.id):
            if node.kind == "model_version" and found.get(node.ref, run).saw != "consumed":
                found[node.ref] = SeenBy(kind="model_version", id=node.ref, name=node.name, saw=run.saw)
            elif node.kind == "model_version":
                found.setdefault(node.ref, SeenBy(kind="model_version", id=node.ref, name=node.name, saw=run.saw))
    named = session.scalars(sa.select(ModelVersion).where(ModelVersion.id.in_(found)))
    names = {version.id: version.reference for version in named}
    return [one.model_copy(update={"name": names.get(one.id, one.name)}) for one in found.values()]


def _deployments(session: TenantSession, models: Sequence[SeenBy]) -> list[SeenBy]:
    saw = {model.id: model.saw for model in models}
    serving = sa.or_(Deployment.version_id.in_(saw), Deployment.served_version_id.in_(saw))
    return [
        SeenBy(kind="deployment", id=row.id, name=row.name, saw=saw.get(row.version_id, "consumed"))
        for row in session.scalars(sa.select(Deployment).where(serving).order_by(Deployment.id))
    ]


def _copies(session: TenantSession, names: Sequence[str]) -> list[SeenBy]:
    taken = sa.select(AuditEntry).where(AuditEntry.action.in_(_COPIES), AuditEntry.resource.in_(names))
    return [
        SeenBy(kind=_COPIES[entry.action], id=entry.id, name=entry.resource, by=entry.user, at=entry.created_at)
        for entry in session.scalars(taken.order_by(AuditEntry.id))
    ]
