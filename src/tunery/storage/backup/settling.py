"""Make a restored database true again: what moved since, what was destroyed since, what was being done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import sqlalchemy as sa

from tunery import audit
from tunery.identity.tables import Tenant
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.platform.blobs.checking import files_of
from tunery.platform.blobs.forgetting import forget_packs
from tunery.platform.blobs.index import in_parts
from tunery.platform.blobs.tables import Segment
from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground
from tunery.platform.jobs import Job
from tunery.registry.tables import GONE, ModelVersion
from tunery.storage.backup.schemas import BackupManifest
from tunery.storage.backup.seeking import Seeking
from tunery.storage.backup.target import Target

__all__ = ["Settled", "settle"]


@dataclass(frozen=True)
class Settled:
    """What a restored index lacks of the backup's moment.

    Attributes:
        destroyed_versions: Model versions whose bytes were destroyed since; they are marked as erased.
        damaged_packs: Packs that were damaged when the backup was made, and packs at its place that should hold what
            was moved since, and do not; and why.
        damaged_versions: Model versions that lack bytes because of that; they stay as they are, and `check` names them.
    """

    destroyed_versions: list[str] = field(default_factory=list)
    damaged_packs: dict[str, str] = field(default_factory=dict)
    damaged_versions: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, details: dict[str, Any]) -> Settled:
        """Read it from the audit of a restore."""
        return cls(**{one.name: details[one.name] for one in fields(cls)})


def settle(
    ground: Ground, target: Target, manifest: BackupManifest, destroyed: set[str], absent: Mapping[str, str]
) -> Settled:
    """Bring a restored index and queue into order; return what it lacks.

    Segments and files whose pack lost its key are sought in the packs that took over. What is in none of them was
    destroyed; what is in one that is damaged, or may be in one whose list cannot be read, is damaged. Either way no row
    says of it that it is here. Rows of absent packs stay, as they stood when the pack was damaged in the store, so that
    a good copy mends them. Jobs that were running go back to the queue.
    """
    by_tenant: dict[str, set[str]] = defaultdict(set)
    for pack in (*manifest.packs, *manifest.missing):
        if pack.id in destroyed:
            by_tenant[pack.tenant_id].add(pack.id)
    settled = Settled(damaged_packs={**absent})
    for tenant_id, lost in by_tenant.items():
        seeking = Seeking(ground.blobs, target, manifest, tenant_id, lost)
        seeking.seek()
        with ground.database.session(tenant_id) as session:
            suspected = seeking.damaged_files(session)
            gone = forget_packs(session, lost)
            damaged = gone if suspected is None else gone & suspected
            settled.damaged_versions.extend(row.reference for row in _versions_with(session, damaged))
            for version in _versions_with(session, gone - damaged):
                if version.reference not in settled.damaged_versions:
                    version.status = "erased"
                    settled.destroyed_versions.append(version.reference)
            if damaged:
                settled.damaged_packs.update(seeking.damaged)
    for tenant_id in {pack.tenant_id for pack in manifest.missing if pack.id in absent}:
        settled.damaged_versions.extend(_needing(ground, tenant_id, absent))
    settled.destroyed_versions.sort()
    settled.damaged_versions[:] = sorted({*settled.damaged_versions})
    with ground.database.system_session("a restored home takes up its jobs again") as session:
        _take_up_jobs(session)
        operator = session.scalars(sa.select(Tenant).where(Tenant.is_operator)).one_or_none()
        if operator is not None:
            actor = Actor(operator.id, None, "system")
            details: dict[str, Any] = {"taken_at": manifest.taken_at.isoformat(), **asdict(settled)}
            audit.record(session, actor, "backup_restored", f"backups/{manifest.id}", **details)
    return settled


def _needing(ground: Ground, tenant_id: str, absent: Mapping[str, str]) -> list[str]:
    with ground.database.session(tenant_id, read_only=True) as session:
        numbers = [
            number
            for part in in_parts(absent)
            for number in session.scalars(sa.select(Segment.number).where(Segment.pack_id.in_(part)))
        ]
        return [row.reference for row in _versions_with(session, files_of(ground.blobs, tenant_id, numbers))]


def _versions_with(session: TenantSession, digests: Iterable[str]) -> list[ModelVersion]:
    wanted = {*digests}
    standing = session.scalars(sa.select(ModelVersion).where(ModelVersion.status.not_in(GONE)))
    return [row for row in standing if not wanted.isdisjoint(f["digests"]["sha256"] for f in row.manifest["files"])]


def _take_up_jobs(session: sa.orm.Session) -> None:
    """The queue beside the database is new: hand every open job over again; the backup itself is not repeated."""
    open_ones = Job.status.in_(("queued", "running"))
    again = {"status": "queued", "handed_at": None, "lease_token": None, "resumed_at": None, "round": Job.round + 1}
    ended = {"status": "cancelled", "lease_token": None, "resumed_at": None, "finished_at": now()}
    session.execute(sa.update(Job).where(open_ones, Job.kind == "backup.create").values(**ended))
    session.execute(sa.update(Job).where(open_ones).values(**again))
