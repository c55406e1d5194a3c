"""What rules are told beside the rows: attestations, trainings, models, and how the house keeps the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from tunery.audit.tables import AuditEntry
from tunery.compliance.ports import Attested, Case, Scan
from tunery.compliance.tables import Attestation
from tunery.datasets.shapes import SHAPES
from tunery.datasets.tables import DatasetVersion
from tunery.datasets.versions.contents import files_of
from tunery.datasets.versions.successors import chains_to
from tunery.identity.tables import Membership
from tunery.kit.clock import now
from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground
from tunery.platform.jobs import Job
from tunery.plugins import Registry
from tunery.registry.tables import GONE, ModelHold, ModelVersion
from tunery.training.tables import TrainingRun

__all__ = ["ERASURES", "gather_case", "models_of", "runs_on"]

ERASURES: Registry[Callable[[TenantSession, DatasetVersion], list[dict[str, Any]]]] = Registry("erasure_record")
"""Who knows of erasures: returns those that reached a version's dataset, each with ``erasure``, ``status``,
``spared`` (files that stay, and who needs them) and ``foundAgain`` (rows that a search still finds)."""


def gather_case(session: TenantSession, ground: Ground, version: DatasetVersion, scan: Scan | None) -> Case:
    """Return a version as rules see it."""
    runs = runs_on(session, version)
    return Case(
        version={
            "id": version.id,
            "reference": version.reference,
            "digest": version.digest,
            "shape": version.shape,
            "rows": version.rows,
            "total": version.total_samples,
            "size_bytes": version.size_bytes,
            "options": version.options,
            "indexed": all(file.indexed for file in files_of(session, version)),
        },
        provenance=version.provenance,
        content=frozenset({*SHAPES[version.shape], "tools"}),  # type: ignore[index] # SQL holds it as text
        scan=scan,
        attested=_attested(session, version),
        runs=[_run(session, run) for run in runs],
        models=[_model(session, row) for row in models_of(session, runs)],
        house=_house(session, ground),
        now=now(),
        erasures=[one for _, known in ERASURES for one in known(session, version)] if ERASURES.names() else None,
        holds=_holds(session, version),
    )


def _attested(session: TenantSession, version: DatasetVersion) -> list[Attested]:
    sources = [source["digest"] for source in version.provenance.get("sources", []) if source.get("digest")]
    mine = (Attestation.dataset_version_id == version.id) | Attestation.source_digest.in_(sources)
    statement = sa.select(Attestation).where(mine, Attestation.withdrawn_at.is_(None)).order_by(Attestation.id)
    return [
        Attested(
            id=row.id,
            rule=row.rule,
            version_id=row.dataset_version_id,
            source_digest=row.source_digest,
            statement=row.statement,
            document_digest=row.document_digest,
            by=row.created_by,
            at=row.created_at,
            until=row.until,
        )
        for row in session.scalars(statement)
    ]


def runs_on(session: TenantSession, version: DatasetVersion) -> list[TrainingRun]:
    """Return the trainings that ended well on a version, or on one with rows erased since, of which it is left."""
    statement = sa.select(TrainingRun).where(
        TrainingRun.dataset_version_id.in_(chains_to(session, [version])), TrainingRun.status == "succeeded"
    )
    return list(session.scalars(statement.order_by(TrainingRun.id)))


def models_of(session: TenantSession, runs: Iterable[TrainingRun]) -> list[ModelVersion]:
    """Return the model versions that came of trainings and are still there."""
    made = ModelVersion.run_id.in_({run.id for run in runs})
    statement = sa.select(ModelVersion).where(made, ModelVersion.status.not_in(GONE))
    return list(session.scalars(statement.order_by(ModelVersion.id)))


def _run(session: TenantSession, run: TrainingRun) -> dict[str, Any]:
    base, earlier = session.get(ModelVersion, run.base_version_id), 0.0
    while base is not None and base.run_id and (before := session.get(TrainingRun, base.run_id)) is not None:
        earlier += 6.0 * float(before.metrics.get("total_params") or 0) * float(before.metrics.get("tokens") or 0)
        base = session.get(ModelVersion, before.base_version_id)
    return {
        "id": run.id,
        "name": run.name,
        "base": base.reference if base else run.base_reference,
        "base_flop": base.details.get("training_flops") if base else None,
        "earlier_flop": earlier,
        "parameters": run.metrics.get("total_params"),
        "tokens": run.metrics.get("tokens"),
        "flop": run.metrics.get("estimated_flops"),
        "energy": run.metrics.get("energy_joules"),
        "config": run.config,
    }


def _model(session: TenantSession, row: ModelVersion) -> dict[str, Any]:
    base = session.get(ModelVersion, row.base_version_id) if row.base_version_id else None
    architecture = (base or row).details.get("architecture") or {}
    return {
        "id": row.id,
        "reference": row.reference,
        "run": row.run_id,
        "description": row.model.description,
        "acceptable_use": row.details.get("acceptable_use_policy"),
        "created_at": row.created_at.isoformat(),
        "visibility": row.model.visibility,
        "architecture": row.model.architecture,
        "parameters": (base or row).details.get("parameter_count"),
        "context_length": architecture.get("max_sequence_length"),
        "formats": sorted({file["path"].rsplit(".", 1)[-1] for file in row.manifest["files"]}),
        "license": row.model.license,
        "base_license": base.model.license if base else None,
    }


def _holds(session: TenantSession, version: DatasetVersion) -> list[dict[str, Any]]:
    """Return the holds of models that came of any version of the dataset, those that were erased included."""
    versions = sa.select(DatasetVersion.id).where(DatasetVersion.dataset_id == version.dataset_id)
    runs = sa.select(TrainingRun.id).where(TrainingRun.dataset_version_id.in_(versions))
    models = sa.select(ModelVersion.id).where(ModelVersion.run_id.in_(runs))
    statement = sa.select(ModelHold).where(ModelHold.version_id.in_(models)).order_by(ModelHold.id)
    return [
        {"version": row.version_id, "cause": row.cause, "decision": row.decision, "by": row.decided_by}
        for row in session.scalars(statement)
    ]


def _house(session: TenantSession, ground: Ground) -> dict[str, Any]:
    settings = ground.settings
    members = list(session.scalars(sa.select(Membership)))
    places = [settings.store_url, settings.backup_url, settings.database_url]
    return {
        "sealed": "AES-256-GCM, a key for each pack",
        "digests": "SHA-256 of every file, checked when it is read",
        "users": len({member.user_id for member in members}),
        "roles": dict(Counter(role for member in members for role in member.roles)),
        "audit_entries": session.scalar(sa.select(sa.func.count(AuditEntry.id))) or 0,
        "backups": bool(settings.backup_url),
        "backup_verified_at": _last(session, "backup.verify"),
        "store_checked_at": _last(session, "store.check"),
        "hosts": sorted({_host(place) for place in places if place} - {""}),
    }


def _last(session: TenantSession, kind: str) -> str | None:
    statement = sa.select(sa.func.max(Job.finished_at)).where(Job.kind == kind, Job.status == "succeeded")
    found = session.scalar(statement.select_from(Job))
    return found.isoformat() if found else None


def _host(url: str) -> str:
    """Return scheme and host, without names and passwords."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" if parts.hostname else ""
