"""Shapes of models and versions."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from tunery.platform.http import Camel

__all__ = [
    "ArtifactFile",
    "ComplianceFlags",
    "ModelDetail",
    "ModelUpdate",
    "ModelView",
    "RegisterVersion",
    "Verification",
    "VersionSummary",
    "VersionUpdate",
    "VersionView",
]


class ArtifactFile(Camel):
    """A file of a version, uploaded before."""

    path: str = Field(description="Relative path inside the version, such as `adapter_model.safetensors`.")
    digest: str = Field(description="SHA-256 of the uploaded bytes.")


class RegisterVersion(Camel):
    """A wish to register a version of a model; the model is made if it is new."""

    files: list[ArtifactFile] = Field(min_length=1, max_length=10_000)
    version: str | None = Field(None, description="MAJOR.MINOR.PATCH; none takes the next one by `change`.")
    change: Literal["major", "minor", "patch"] = Field(
        "minor", description="Size of the change, where no version is given."
    )
    base_reference: str | None = Field(None, description="For adapters: the registered base, `name:version`.")
    is_base: bool = Field(False, description="Whether this is a base model to fine-tune, not a fine-tune.")
    description: str = Field("", max_length=10_000)
    changelog: str = Field("", max_length=10_000)
    breaking: bool = False
    tags: list[str] = Field(default_factory=list, max_length=100)
    license: str | None = Field(None, max_length=100)
    metadata: dict[str, Any] = Field(default_factory=dict, description="Anything worth keeping; plain JSON.")


class ModelUpdate(Camel):
    """What may change on a model."""

    description: str | None = Field(None, max_length=10_000)
    add_tags: list[str] = Field(default_factory=list, max_length=100)
    remove_tags: list[str] = Field(default_factory=list, max_length=100)
    category: str | None = Field(None, max_length=100)
    license: str | None = Field(None, max_length=100)


class VersionUpdate(Camel):
    """What may change on a version in development."""

    changelog: str | None = Field(None, max_length=10_000)
    metadata: dict[str, Any] | None = None


class VersionSummary(Camel):
    """A version in a list."""

    id: str
    reference: str
    version: str
    kind: str = Field(description="`adapter`, `full` (a fine-tune with all weights) or `base`.")
    status: str
    stage: str
    manifest_digest: str = Field(description="SHA-256 of the manifest: the version's public digest.")
    size_bytes: int
    base_digest: str | None
    run_id: str | None
    scores: dict[str, Any]
    created_by: str
    created_at: datetime


class DeletedVersion(VersionSummary):
    """A version that is out of sight now."""

    job_id: str | None = Field(None, description="The job that destroys its bytes; its result says what was spared.")


class ComplianceFlags(Camel):
    """R1's flags, derived from the newest compliance reports of the data behind; nobody can set them."""

    compliance_flags: dict[str, bool | None] = Field(
        default_factory=dict, description="Such as `gdprCompliant`; none: a question is open, or nobody has looked."
    )
    certifications: list[str] = Field(
        default_factory=list, description="Standards whose every rule passed for all data behind."
    )


class VersionView(VersionSummary, ComplianceFlags):
    """A version with everything that is known of it."""

    model_id: str
    manifest: dict[str, Any]
    signature: dict[str, Any] = Field(description="DSSE envelope of an in-toto statement, signed with Ed25519.")
    public_key: str | None = Field(None, description="PEM of the tenant's key that signed it.")
    base_reference: str | None = None
    on_hold: str | None = Field(None, description="Why it is not promoted before a person decides; none: it may be.")
    changelog: str
    breaking: bool
    details: dict[str, Any]
    evaluated_at: datetime | None


class ModelView(Camel):
    """A model."""

    id: str
    name: str
    description: str
    kind: str
    base_model_name: str | None
    architecture: str | None
    category: str | None
    tags: list[str]
    language: list[str]
    license: str | None
    visibility: str
    current_version: str
    created_by: str
    created_at: datetime
    updated_at: datetime


class ModelDetail(ModelView, ComplianceFlags):
    """A model, with the flags of its current version."""


class Verification(Camel):
    """The outcome of a verification: every file hashed, the signature checked."""

    reference: str
    manifest_digest: str
    key_id: str
    files: int
    size_bytes: int
    verified: bool = True
