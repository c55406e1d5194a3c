"""Register versions: inspect the files, build and sign the manifest, make it visible in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from tunery import audit
from tunery.errors import Conflict, InvalidInput
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.kit.ids import new_id
from tunery.kit.references import check_name
from tunery.lineage.operations import Node, link, place
from tunery.platform.blobs import Blob
from tunery.platform.blobs.references import hold_files
from tunery.platform.db import TenantSession
from tunery.platform.events import emit
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import scratch_folder
from tunery.registry import signing
from tunery.registry.holds import inherit_holds
from tunery.registry.manifest import build_manifest, manifest_digest
from tunery.registry.operations.keys import signing_key
from tunery.registry.operations.lookup import hold_version
from tunery.registry.rules import next_version, version_key
from tunery.registry.schemas import ArtifactFile, RegisterVersion
from tunery.registry.tables import GONE, Model, ModelVersion
from tunery.weights.folders import FolderReport, inspect_folder, refuse_remote_code

__all__ = ["Prepared", "node_of", "prepare_version", "register_version"]


@dataclass(frozen=True)
class Prepared:
    """Files that lie in the store, were inspected, and can become a version."""

    files: list[tuple[str, Blob]]
    report: FolderReport


def prepare_version(ground: Ground, tenant_id: str, files: list[ArtifactFile] | Path) -> Prepared:
    """Put a folder's files into the store, or take uploaded ones, and inspect them. No session is held.

    Raises:
        UnsafeFormat: A file could run code when loaded (unless the setting says to keep such files in quarantine), or
            asks for code to be run. FormatInvalid: a header lies, or
            no model is in there.
        NotFound: A digest was never uploaded.
    """
    quarantine = ground.settings.unsafe_files == "quarantine"
    if isinstance(files, Path):
        report = refuse_remote_code(inspect_folder(files, quarantine=quarantine))
        kept = [(name, ground.blobs.put(tenant_id, files / name)) for name in report.files]
        return Prepared(kept, report)
    kept = [(f.path, ground.blobs.claim(tenant_id, f.digest)) for f in files]
    build_manifest("full", kept, None)
    with scratch_folder(ground.settings, "inspect") as staging:
        for path, blob in kept:
            ground.blobs.checkout(tenant_id, blob.digest, staging / path)
        report = refuse_remote_code(inspect_folder(staging, quarantine=quarantine))
    return Prepared([(path, blob) for path, blob in kept if path in report.files], report)


def register_version(
    session: TenantSession,
    ground: Ground,
    actor: Actor,
    name: str,
    wish: RegisterVersion,
    prepared: Prepared,
    *,
    base: ModelVersion | None = None,
    run_id: str | None = None,
    source_digest: str | None = None,
) -> ModelVersion:
    """Make a version visible: row, signature, lineage, audit and event in one transaction.

    Registering the same bytes of the same run again returns the version that stands.

    Raises:
        Conflict: The version number is taken by other bytes. InvalidInput: an adapter without its base, or a bad name.
        NotFound: Its base was deleted meanwhile, or one of its files was.
    """
    hold_files(session, [blob.digest for _, blob in prepared.files])
    kind = _kind(wish, prepared.report, base)
    if base is not None:
        hold_version(session, base)
    manifest = build_manifest(kind, prepared.files, base.manifest_digest if base else None)
    digest = manifest_digest(manifest)
    model = _model(session, actor, check_name(name), kind, wish, prepared.report, base)
    standing = session.scalars(sa.select(ModelVersion).where(ModelVersion.model_id == model.id)).all()
    for row in standing:
        known = row.manifest_digest == digest and row.run_id == run_id and row.status not in GONE
        if known and wish.version in (None, row.version):
            return row
    number = wish.version or next_version([row.version for row in standing], wish.change)
    version_key(number)
    if number in {row.version for row in standing}:
        raise Conflict(f"{name}:{number} stands already and versions never change; register the next number")
    key = signing_key(session, ground)
    row = ModelVersion(
        id=new_id(),
        model=model,
        version=number,
        kind=kind,
        status="quarantined" if prepared.report.unsafe else "ready",
        manifest=manifest,
        manifest_digest=digest,
        signature=signing.sign(manifest, f"{name}:{number}", key),
        size_bytes=sum(blob.size_bytes for _, blob in prepared.files),
        base_version_id=base.id if base else None,
        base_digest=base.manifest_digest if base else None,
        source_digest=source_digest,
        run_id=run_id,
        changelog=wish.changelog,
        breaking=wish.breaking,
        details={**wish.metadata, "parameter_count": prepared.report.parameter_count}
        | {"architecture": prepared.report.architecture}
        | ({"unsafe_files": prepared.report.unsafe} if prepared.report.unsafe else {}),
        created_by=actor.name,
    )
    session.add(row)
    session.flush()
    model.current_version = max((r.version for r in [*standing, row]), key=version_key)
    model.updated_at = now()
    place(session, node_of(row))
    if base is not None:
        link(session, node_of(base), node_of(row), "derived_from")
    inherit_holds(session, actor, row)
    audit.record(session, actor, "model_registered", row.reference, digest=digest, status=row.status)
    emit(session, actor, "models.registered", f"models/{row.reference}", {"version_id": row.id, "digest": digest})
    return row


def node_of(version: ModelVersion) -> Node:
    """Return a version as a node of the lineage graph."""
    kind = "base_model" if version.kind == "base" else "model_version"
    return Node(kind, version.id, version.reference, version.manifest_digest)


def _kind(wish: RegisterVersion, report: FolderReport, base: ModelVersion | None) -> Literal["adapter", "full", "base"]:
    if report.kind == "adapter":
        if base is None:
            raise InvalidInput("an adapter needs its base: give base_reference, such as smollm2-135m-instruct:1.0.0")
        if base.kind == "adapter":
            raise InvalidInput(f"{base.reference} is an adapter itself; name the full model that it was trained on")
        return "adapter"
    return "base" if wish.is_base else "full"


def _model(
    session: TenantSession,
    actor: Actor,
    name: str,
    kind: str,
    wish: RegisterVersion,
    report: FolderReport,
    base: ModelVersion | None,
) -> Model:
    model = session.scalars(sa.select(Model).where(Model.name == name)).one_or_none()
    if model is None:
        family: Any = report.architecture.get("model_family")
        model = Model(
            name=name,
            description=wish.description,
            kind="base" if kind == "base" else "fine_tuned",
            base_model_name=base.reference if base else None,
            architecture=family or (base.model.architecture if base else None),
            tags=wish.tags,
            license=wish.license or (base.model.license if base else None),
            created_by=actor.name,
        )
        session.add(model)
        session.flush()
    return model
