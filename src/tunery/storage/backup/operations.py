"""Backups as deeds of the operator."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import sqlalchemy as sa

from tunery import audit
from tunery.errors import IntegrityError, Refused, SchemaNewer
from tunery.identity.tables import Tenant
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.platform.blobs.opening import master_keys
from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import SCHEDULES
from tunery.platform.jobs import Job, enqueue_job
from tunery.storage.backup.schemas import BackupManifest, BackupVerify, BackupView
from tunery.storage.backup.target import Target, open_target
from tunery.storage.upkeep.operations import require_operator

__all__ = ["lacks", "list_backups", "open_backups", "start_backup", "start_verification", "state_of", "what_to_do"]

_OPEN = ("queued", "running")


def start_backup(session: TenantSession, ground: Ground, actor: Actor) -> Job:
    """Have a backup made; where one is being made already, that is the answer.

    Raises:
        Forbidden: Only the operator's tenant may. Refused: no place for backups is set.
    """
    require_operator(session, actor, "make backups: they hold the things of all tenants")
    _refuse_without_place(ground)
    running = session.scalars(sa.select(Job).where(Job.kind == "backup.create", Job.status.in_(_OPEN))).first()
    if running is not None:
        return running
    job = enqueue_job(session, actor, "backup.create", {}, "backups")
    audit.record(session, actor, "backup_started", "backups", job=job.id)
    return job


def start_verification(session: TenantSession, ground: Ground, actor: Actor, wish: BackupVerify) -> Job:
    """Have a backup looked over, byte by byte or quickly."""
    require_operator(session, actor, "look backups over: they hold the things of all tenants")
    _refuse_without_place(ground)
    job = enqueue_job(session, actor, "backup.verify", wish.model_dump(), "backups")
    audit.record(session, actor, "backup_verification_started", "backups", job=job.id, **wish.model_dump())
    return job


def list_backups(ground: Ground) -> list[BackupView]:
    """Return all backups, the newest first; those that cannot be read are among them and say so.

    Raises:
        Refused: No place for them is set. NotFound: There are none yet.
    """
    target = open_backups(ground)
    return [_view(target, backup_id) for backup_id in target.manifest_ids()]


def state_of(manifest: BackupManifest) -> Literal["complete", "incomplete"]:
    """Say whether a backup holds everything that its database names."""
    return "incomplete" if manifest.missing else "complete"


def lacks(manifest: BackupManifest) -> str:
    """Say what a backup lacks, and what to do; nothing of a complete one."""
    if not manifest.missing:
        return ""
    named = ", ".join(pack.id for pack in manifest.missing[:3]) + (", ..." if len(manifest.missing) > 3 else "")
    return (
        f"{len(manifest.missing)} packs are damaged in the store and not in it ({named}); `tunery store check` names "
        f"their files: mend them, or delete what needs them, and make another backup"
    )


def what_to_do(target: Target, backup_id: str, why: str) -> str:
    """Say of a backup that cannot be read why, and how it goes."""
    return (
        f"{why}. Until it is older than the retention, all that it may name is kept; delete manifests/{backup_id} at "
        f"{target.backend.url} to let it go now"
    )


def open_backups(ground: Ground, *, make: bool = False) -> Target:
    """Open the place of this home's backups. Raises: Refused: none is set. NotFound: nothing is there yet."""
    _refuse_without_place(ground)
    return open_target(ground.settings.backup_url, master_keys(ground.settings), make=make)


@SCHEDULES.register("backup")
def enqueue_backup(ground: Ground) -> None:
    """Enqueue a backup where the last one was begun too long ago and none is under way."""
    if not ground.settings.backup_url:
        return
    with ground.database.system_session("a backup is of every tenant") as session:
        operator = session.scalars(sa.select(Tenant).where(Tenant.is_operator).with_for_update()).one_or_none()
        if operator is None:
            return
        newest = sa.select(Job).where(Job.kind == "backup.create").order_by(Job.id.desc()).limit(1)
        last = session.scalars(newest).one_or_none()
        due = now() - timedelta(hours=ground.settings.backup_every_hours)
        if last is None or (last.status not in _OPEN and last.created_at <= due):
            actor = Actor(operator.id, None, "system")
            job = enqueue_job(session, actor, "backup.create", {}, "backups")
            audit.record(session, actor, "backup_started", "backups", job=job.id)


def _refuse_without_place(ground: Ground) -> None:
    if not ground.settings.backup_url:
        raise Refused(
            "the server has no place for backups: set TUNERY_BACKUP_URL where `tunery serve` and each worker starts "
            "(TUNERY_BACKUP_URL=file:///mnt/backups tunery serve), and start it again; for this command alone it does "
            "nothing"
        )


def _view(target: Target, backup_id: str) -> BackupView:
    try:
        manifest = target.manifest(backup_id)
    except (IntegrityError, SchemaNewer) as error:
        return BackupView(id=backup_id, state="unreadable", reason=what_to_do(target, backup_id, error.message))
    return BackupView(
        id=manifest.id,
        state=state_of(manifest),
        reason=lacks(manifest),
        taken_at=manifest.taken_at,
        tunery=manifest.tunery,
        database=manifest.database,
        revision=manifest.revision,
        packs=len(manifest.packs),
        missing_packs=[pack.id for pack in manifest.missing],
        size_bytes=manifest.size_bytes,
        copied_bytes=manifest.copied_bytes,
    )
