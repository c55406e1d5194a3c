"""Routes of models and versions."""

from __future__ import annotations

from fastapi import Query, Response

from tunery import audit
from tunery.errors import NotFound
from tunery.lineage.operations import graph_of
from tunery.lineage.schemas import GraphView
from tunery.platform.http import Call, Limit, Offset, route
from tunery.platform.http.ranges import ranged
from tunery.registry import operations
from tunery.registry.facts import facts_of
from tunery.registry.holds import why_held
from tunery.registry.operations.register import node_of
from tunery.registry.schemas import (
    DeletedVersion,
    ModelDetail,
    ModelUpdate,
    ModelView,
    RegisterVersion,
    Verification,
    VersionSummary,
    VersionUpdate,
    VersionView,
)
from tunery.registry.tables import ModelVersion

__all__ = ["version_view"]


@route("models.list", "GET", "/models", permission="models:read")
def list_models(
    call: Call, q: str = Query("", max_length=200), limit: Limit = 50, offset: Offset = 0
) -> list[ModelView]:
    """List models."""
    return call.page(operations.list_models(call.session, q, limit, offset), ModelView.model_validate)


@route("models.get", "GET", "/models/{name}", permission="models:read")
def get_model(call: Call, name: str) -> ModelDetail:
    """Show a model, with the compliance flags of its current version."""
    row = operations.get_model(call.session, name)
    view = ModelDetail.model_validate(row)
    current = [version for version in operations.list_versions(call.session, row.name) if version.status == "ready"]
    return view.model_copy(update=facts_of(call.session, current[0])) if current else view


@route("models.update", "PATCH", "/models/{name}", permission="models:update")
def update_model(call: Call, name: str, body: ModelUpdate) -> ModelView:
    """Change a model's description, tags, category or licence."""
    return ModelView.model_validate(operations.update_model(call.session, call.actor, name, body))


@route("models.versions", "GET", "/models/{name}/versions", permission="models:read")
def list_versions(call: Call, name: str) -> list[VersionSummary]:
    """List a model's versions, the highest first."""
    return [VersionSummary.model_validate(row) for row in operations.list_versions(call.session, name)]


@route("models.register", "POST", "/models/{name}/versions", permission="models:create", status=201)
def register(call: Call, name: str, body: RegisterVersion) -> VersionView:
    """Register a version from uploaded files; it is inspected and signed."""
    prepared = operations.prepare_version(call.ground, call.actor.tenant_id, body.files)
    base = operations.resolve_version(call.session, body.base_reference) if body.base_reference else None
    row = operations.register_version(call.session, call.ground, call.actor, name, body, prepared, base=base)
    return version_view(call, row)


@route("models.version", "GET", "/models/{name}/versions/{version}", permission="models:read")
def get_version(call: Call, name: str, version: str) -> VersionView:
    """Show a version with manifest, signature and details."""
    return version_view(call, operations.resolve_version(call.session, f"{name}:{version}"))


@route("models.update_version", "PATCH", "/models/{name}/versions/{version}", permission="models:update")
def update_version(call: Call, name: str, version: str, body: VersionUpdate) -> VersionView:
    """Change a version's changelog or metadata, while it is in development."""
    return version_view(call, operations.update_version(call.session, call.actor, f"{name}:{version}", body))


@route("models.delete", "DELETE", "/models/{name}/versions/{version}", permission="models:delete_own")
def delete_version(
    call: Call, name: str, version: str, destroy: bool = False, lose_damaged: bool = False
) -> DeletedVersion:
    """Take a version out of sight; with `destroy`, its bytes are destroyed for good, beyond every backup."""
    row, job_id = operations.delete_version(
        call.session, call.actor, f"{name}:{version}", destroy=destroy, lose_damaged=lose_damaged
    )
    return DeletedVersion.model_validate(row).model_copy(update={"job_id": job_id})


@route("models.verify", "POST", "/models/{name}/versions/{version}/verify", permission="models:read")
def verify_version(call: Call, name: str, version: str) -> Verification:
    """Check a version's signature and hash every byte."""
    return operations.verify_version(call.ground, call.actor.tenant_id, f"{name}:{version}")


@route("models.lineage", "GET", "/models/{name}/versions/{version}/lineage", permission="models:read")
def lineage(call: Call, name: str, version: str, depth: int = Query(10, ge=1, le=50)) -> GraphView:
    """Show what a version came from and what came from it."""
    node = node_of(operations.resolve_version(call.session, f"{name}:{version}"))
    return graph_of(call.session, node.kind, node.ref, depth)


@route("models.file", "GET", "/models/{name}/versions/{version}/files/{path:path}", permission="models:read")
def download_file(call: Call, name: str, version: str, path: str) -> Response:
    """Download one file of a version, whole or a range of it."""
    row = operations.resolve_version(call.session, f"{name}:{version}")
    for file in row.manifest["files"]:
        if file["path"] == path:
            digest = file["digests"]["sha256"]
            return ranged(call, digest, file["size_bytes"], path.rsplit("/", 1)[-1])
    raise NotFound(f"{row.reference} has no file {path!r}")


@route("models.download", "POST", "/models/{name}/versions/{version}/downloads", permission="models:read", status=201)
def record_download(call: Call, name: str, version: str) -> VersionView:
    """Begin a download: it is audited, and the answer holds what is needed to check it."""
    row = operations.resolve_version(call.session, f"{name}:{version}")
    audit.record(call.session, call.actor, "model_downloaded", row.reference, digest=row.manifest_digest)
    return version_view(call, row)


def version_view(call: Call, row: ModelVersion) -> VersionView:
    """Return a version in its full shape."""
    key = operations.public_key_of(call.session, row)
    base = call.session.get(ModelVersion, row.base_version_id) if row.base_version_id else None
    view = VersionView.model_validate(row)
    return view.model_copy(
        update={
            "public_key": key.public_key if key else None,
            "base_reference": base.reference if base else None,
            "on_hold": why_held(call.session, row),
        }
        | facts_of(call.session, row)
    )
