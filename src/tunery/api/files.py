"""Routes of uploaded bytes."""

from __future__ import annotations

from fastapi import Header

from tunery.api.schemas import FileView
from tunery.errors import MalformedRequest, TooLarge, UnsupportedMedia
from tunery.kit.digests import check_digest
from tunery.kit.media_types import BYTES, GGUF, SAFETENSORS
from tunery.platform.http import Call, route
from tunery.storage.operations import put_body

__all__: list[str] = []


@route("files.upload", "PUT", "/files", permission="files:create", status=201, reads_body=True)
def upload(
    call: Call,
    content_length: int | None = Header(None),
    content_encoding: str | None = Header(None),
    content_type: str | None = Header(None, description="A model's type refuses bytes that break its format."),
    x_digest: str | None = Header(None, description="SHA-256 that the body must have."),
    x_like: str | None = Header(None, description="Digest of a stored file that the body may be a near copy of."),
) -> FileView:
    """Upload bytes as the raw body; equal bytes are kept once."""
    limit = call.ground.settings.max_upload_bytes
    if content_encoding not in (None, "identity"):
        raise UnsupportedMedia("compressed bodies are not accepted; send the bytes as they are")
    if content_length is not None and content_length > limit:
        raise TooLarge(f"{content_length} bytes are more than the limit of {limit} (TUNERY_MAX_UPLOAD_BYTES)")
    for digest in (x_digest, x_like):
        if digest is not None:
            check_digest(digest)
    blob = put_body(
        call.ground,
        call.actor,
        call.body(),
        content_length,
        media_type=content_type if content_type in (SAFETENSORS, GGUF) else BYTES,
        like=x_like,
        digest=x_digest,
    )
    if content_length is not None and blob.size_bytes != content_length:
        raise MalformedRequest(f"{content_length} bytes were announced and {blob.size_bytes} came; send them again")
    return FileView(digest=blob.digest, size_bytes=blob.size_bytes)


@route("files.get", "GET", "/files/{digest}", permission="files:create")
def file_info(call: Call, digest: str) -> FileView:
    """Tell whether bytes are here already, by their digest; they are kept until whoever asks has named them."""
    return FileView(digest=digest, size_bytes=call.ground.blobs.claim(call.actor.tenant_id, digest).size_bytes)
