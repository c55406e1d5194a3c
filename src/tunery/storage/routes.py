"""Routes of uploads in parts and of quotas."""

from __future__ import annotations

from fastapi import Header, Path

from tunery.errors import UnsupportedMedia
from tunery.platform.http import Call, Limit, Offset, route
from tunery.storage import operations
from tunery.storage.quotas import quota_of
from tunery.storage.schemas import (
    MOST_PARTS,
    QuotaSet,
    QuotaView,
    TenantUseView,
    UploadCreate,
    UploadPartView,
    UploadView,
)
from tunery.storage.tables import UploadPart, UploadSession

__all__: list[str] = []


@route("uploads.create", "POST", "/uploads", permission="files:create", status=201)
def create_upload(call: Call, body: UploadCreate) -> UploadView:
    """Begin a file in parts, or go on with one's own; where its bytes are here already, nothing is to be sent."""
    if operations.claim_file(call.ground, call.actor.tenant_id, body) is not None:
        return UploadView(
            id=None,
            status="complete",
            digest=body.digest,
            size_bytes=body.size_bytes,
            media_type=body.media_type,
            part_bytes=max(1, body.size_bytes),
            part_count=0,
            parts=[],
            expires_at=None,
            created_by=None,
        )
    row = operations.create_upload(call.session, call.ground, call.actor, body)
    return _view(row, operations.parts_of(call.session, row.id))


@route("uploads.list", "GET", "/uploads", permission="files:create")
def list_uploads(call: Call, limit: Limit = 50, offset: Offset = 0) -> list[UploadView]:
    """List open uploads, the newest first."""
    page = operations.list_uploads(call.session, limit, offset)
    return call.page(page, lambda row: _view(row, operations.parts_of(call.session, row.id)))


@route("uploads.get", "GET", "/uploads/{upload_id}", permission="files:create")
def get_upload(call: Call, upload_id: str) -> UploadView:
    """Show an upload: which parts arrived."""
    row = operations.get_upload(call.session, upload_id)
    return _view(row, operations.parts_of(call.session, row.id))


@route("uploads.part", "PUT", "/uploads/{upload_id}/parts/{number}", permission="files:create", reads_body=True)
def put_part(
    call: Call,
    upload_id: str,
    number: int = Path(ge=1, le=MOST_PARTS),
    content_encoding: str | None = Header(None),
    x_digest: str | None = Header(None, description="SHA-256 that the part must have."),
) -> UploadPartView:
    """Send a part as the raw body; once it is answered, the part is safe. A part sent again replaces the one before."""
    if content_encoding not in (None, "identity"):
        raise UnsupportedMedia("compressed bodies are not accepted; send the bytes as they are")
    row = operations.keep_part(call.ground, call.actor, upload_id, number, x_digest, call.body())
    return UploadPartView.model_validate(row)


@route("uploads.complete", "POST", "/uploads/{upload_id}/complete", permission="files:create")
def complete_upload(call: Call, upload_id: str) -> UploadView:
    """Make the file of all parts visible, its digest checked; repeating it answers the same."""
    return _view(operations.complete_upload(call.ground, call.actor, upload_id), [])


@route("uploads.abort", "DELETE", "/uploads/{upload_id}", permission="files:create")
def abort_upload(call: Call, upload_id: str) -> UploadView:
    """Give an open upload up; its parts go and its room is free again."""
    return _view(operations.abort_upload(call.ground, call.actor, upload_id), [])


@route("store.quota", "GET", "/store/quota", permission="store:read")
def get_quota(call: Call) -> QuotaView:
    """Show how much is stored and reserved, and how much may be."""
    return QuotaView.model_validate(quota_of(call.session))


@route("store.set_quota", "PUT", "/store/quota", permission="access_control:manage")
def set_quota(call: Call, body: QuotaSet) -> QuotaView:
    """Set how much a tenant may store; for the operator of this installation."""
    return QuotaView.model_validate(operations.set_quota(call.ground, call.actor, body))


@route("store.tenants", "GET", "/store/tenants", permission="access_control:manage")
def list_tenants(call: Call) -> list[TenantUseView]:
    """List what each tenant keeps and may, the most first; for the operator of this installation."""
    return operations.list_tenants(call.ground, call.actor)


def _view(row: UploadSession, parts: list[UploadPart]) -> UploadView:
    return UploadView(
        id=row.id,
        status="complete" if row.status == "complete" else "open",
        digest=row.digest,
        size_bytes=row.size_bytes,
        media_type=row.media_type,
        part_bytes=row.part_bytes,
        part_count=operations.part_count(row),
        parts=[UploadPartView.model_validate(part) for part in parts],
        expires_at=row.expires_at,
        created_by=row.created_by,
    )
