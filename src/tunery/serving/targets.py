"""What the rows ask of this process, read in one look."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from tunery.identity.tables import Tenant
from tunery.platform.db import Database
from tunery.registry.rules import version_key
from tunery.registry.tables import ModelVersion
from tunery.serving.tables import Deployment

__all__ = ["EngineKey", "Member", "Target", "read_targets"]


@dataclass(frozen=True)
class EngineKey:
    """What an engine is shared by: versions of one tenant on one base in one kind of engine. Never across tenants."""

    tenant_id: str
    base_id: str
    base_digest: str
    engine: str


@dataclass(frozen=True)
class Member:
    """A version that an engine holds: an adapter, or the engine's base itself.

    Attributes:
        key: Its engine.
        version_id: The version's id.
        digest: SHA-256 of its manifest; an adapter has it as its name in the engine.
        reference: ``name:version``.
        is_adapter: Whether it is an adapter on the engine's base.
    """

    key: EngineKey
    version_id: str
    digest: str
    reference: str
    is_adapter: bool

    @property
    def adapter(self) -> str | None:
        """What engines call it; None for the base."""
        return self.digest if self.is_adapter else None

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.reference.rpartition(":")[0]

    @property
    def version_order(self) -> tuple[int, int, int]:
        """The version number, for ordering."""
        return version_key(self.reference.rpartition(":")[2])


@dataclass(frozen=True)
class Target:
    """One deployment as its row has it: what shall answer, what answers.

    Attributes:
        created: When it was made, in seconds since 1970.
        wanted: What shall answer; None where the version was deleted or archived.
        served: What answers; None before the first version was ready, and where the version is gone.
    """

    id: str
    tenant_id: str
    tenant: str
    name: str
    revision: int
    status: str
    status_reason: str | None
    health_check: bool
    created: int
    wanted: Member | None
    served: Member | None

    def members(self) -> set[Member]:
        """Return what engines must hold for it."""
        wanted = {self.wanted} if self.wanted is not None and self.status != "failed" else set()
        return wanted | ({self.served} if self.served is not None else set())


def read_targets(database: Database) -> list[Target]:
    """Return every deployment that shall run, of every tenant."""
    with database.system_session("the gateway's process looks at every deployment", read_only=True) as session:
        statement = (
            sa.select(Deployment, Tenant.name)
            .join(Tenant, Tenant.id == Deployment.tenant_id)
            .where(Deployment.desired_state == "running")
            .order_by(Deployment.id)
        )
        found = [(row, tenant) for row, tenant in session.execute(statement)]
        base_ids = {v.base_version_id for row, _ in found for v in (row.version, row.served_version) if v}
        bases = {
            base.id: base
            for base in session.scalars(sa.select(ModelVersion).where(ModelVersion.id.in_(base_ids - {None})))
        }
        return [_target(row, tenant, bases) for row, tenant in found]


def _target(row: Deployment, tenant: str, bases: dict[str, ModelVersion]) -> Target:
    return Target(
        id=row.id,
        tenant_id=row.tenant_id,
        tenant=tenant,
        name=row.name,
        revision=row.revision,
        status=row.status,
        status_reason=row.status_reason,
        health_check=row.health_check,
        created=int(row.created_at.timestamp()),
        wanted=_member(row.version, row.engine, bases),
        served=_member(row.served_version, row.served_engine, bases),
    )


def _member(version: ModelVersion | None, engine: str | None, bases: dict[str, ModelVersion]) -> Member | None:
    if version is None or engine is None or version.status != "ready" or version.stage == "archived":
        return None
    base = bases.get(version.base_version_id or "") if version.kind == "adapter" else version
    if base is None or (version.kind == "adapter" and version.base_digest != base.manifest_digest):
        return None
    key = EngineKey(version.tenant_id, base.id, base.manifest_digest, engine)
    return Member(key, version.id, version.manifest_digest, version.reference, version.kind == "adapter")
