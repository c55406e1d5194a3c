"""Shapes of the store's upkeep."""

from __future__ import annotations

from pydantic import Field

from tunery.platform.http import Camel

__all__ = ["CheckWish", "CodecUseView", "CollectWish", "ModelUseView", "UsageView"]


class CodecUseView(Camel):
    """What one codec holds."""

    codec: str
    segments: int
    plain_bytes: int = Field(description="Bytes that went in.")
    stored_bytes: int = Field(description="Bytes that are kept of them, sealed.")


class ModelUseView(Camel):
    """What the versions of one model hold; segments that models share count for each of them."""

    model: str
    versions: int = Field(description="Versions that are not deleted.")
    logical_bytes: int
    stored_bytes: int


class UsageView(Camel):
    """What a tenant keeps in the store, and what it would be without it."""

    files: int
    logical_bytes: int = Field(description="Lengths of all files added up.")
    unique_bytes: int = Field(description="Plain bytes of their segments, each counted once.")
    stored_bytes: int = Field(description="Bytes of the packs.")
    pinned_bytes: int = Field(
        description="Of these, what only files hold that nothing names any more: near copies lean on them."
    )
    saved_share: float = Field(description="Part of the logical bytes that is not stored, 0 to 1; negative: it costs.")
    codecs: list[CodecUseView]
    models: list[ModelUseView] = Field(description="By model, the largest first.")


class CheckWish(Camel):
    """A wish to look the store over."""

    quick: bool = Field(False, description="Compare packs with their checksums only, without opening each segment.")
    repair_url: str | None = Field(
        None,
        max_length=2000,
        description="Mend damage from good packs there; `backup` takes those of the backup. Other places are the "
        "operator's to name.",
    )


class CollectWish(Camel):
    """A wish to give back what no row names any more."""

    dry_run: bool = Field(False, description="Say what would go, and leave it.")
    grace_hours: float | None = Field(
        None, ge=1, le=100_000, description="Spare what was touched within; the setting's where not given."
    )
