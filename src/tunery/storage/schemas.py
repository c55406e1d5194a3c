"""Shapes of uploads and quotas."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from tunery.platform.http.shapes import Camel

__all__ = ["MOST_PARTS", "QuotaSet", "QuotaView", "TenantUseView", "UploadCreate", "UploadPartView", "UploadView"]

MOST_PARTS = 10_000


class UploadCreate(Camel):
    """A file to be sent in parts."""

    digest: str = Field(description="SHA-256 of the whole file.")
    size_bytes: int = Field(ge=0, lt=2**63)
    media_type: str = Field(
        "application/octet-stream", max_length=200, pattern=r"^[\w.+-]+/[\w.+-]+$", description="What the bytes are."
    )
    like: str | None = Field(None, description="Digest of a stored file they may be a near copy of: base or parent.")
    part_bytes: int | None = Field(
        None, ge=65_536, le=1 << 30, description="Length of every part but the last. Default: 32 MiB or more."
    )


class UploadPartView(Camel):
    """A part that arrived and is safe."""

    number: int
    size_bytes: int
    digest: str


class UploadView(Camel):
    """An upload, and which of its parts arrived."""

    id: str | None = Field(description="None where the file is here already and nothing needs to be sent.")
    status: Literal["open", "complete"]
    digest: str
    size_bytes: int
    media_type: str
    part_bytes: int
    part_count: int = Field(description="Parts there are in all, numbered from 1.")
    parts: list[UploadPartView]
    expires_at: datetime | None = Field(description="When it is given up, unless another part comes before.")
    created_by: str | None


class QuotaSet(Camel):
    """How much a tenant may store."""

    tenant: str = Field(min_length=1, max_length=96, description="Name of the tenant.")
    limit_bytes: int | None = Field(ge=0, lt=2**63, description="Bytes in the store; null: no limit.")


class QuotaView(Camel):
    """How much a tenant stores, and may."""

    limit_bytes: int | None = Field(description="None: there is no limit.")
    stored_bytes: int = Field(description="Bytes of its packs.")
    reserved_bytes: int = Field(description="What its open uploads may still take.")


class TenantUseView(QuotaView):
    """What one tenant keeps, and may."""

    tenant: str = Field(description="Name of the tenant.")
    files: int
    logical_bytes: int = Field(description="Lengths of its files added up.")
