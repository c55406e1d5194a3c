"""The durable jobs of backups: repeated after a crash, they copy only what is still missing."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from tunery import audit
from tunery.platform.jobs import Job, JobContext, job
from tunery.storage.backup.creating import create_backup, let_go
from tunery.storage.backup.operations import lacks, open_backups, state_of, what_to_do
from tunery.storage.backup.verifying import faults_of

__all__ = ["make_backup", "verify_backup"]


@job("backup.create")
def make_backup(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Make a backup of everything and let old ones go."""
    started = time.monotonic()

    def copied(size: int) -> None:
        context.check_cancelled()
        context.progress({"type": "copied", "bytes": size}, always=False)

    url = context.ground.settings.backup_url
    with context.session() as session:
        made = sa.select(Job.result).where(Job.kind == "backup.create", Job.status == "succeeded")
        known = any(result and result.get("url") == url for result in session.scalars(made))
    target = open_backups(context.ground, make=not known)  # a disk that is not mounted is no empty place
    manifest = create_backup(context.ground, target, copied)
    gone = let_go(target, timedelta(days=context.ground.settings.backup_retention_days))
    numbers: dict[str, Any] = {
        "state": state_of(manifest),
        "packs": len(manifest.packs),
        "reason": lacks(manifest),
        "missing_packs": {pack.id: pack.reason for pack in manifest.missing},
        "size_bytes": manifest.size_bytes,
        "copied_bytes": manifest.copied_bytes,
    }
    with context.session() as session:
        audit.record(
            session, context.actor, "backup_created", f"backups/{manifest.id}", removed=gone.removed, **numbers
        )
    return {
        "backup_id": manifest.id,
        "url": url,
        **numbers,
        "removed": gone.removed,
        "unreadable": {backup_id: what_to_do(target, backup_id, why) for backup_id, why in gone.unreadable.items()},
        "seconds": round(time.monotonic() - started, 3),
    }


@job("backup.verify")
def verify_backup(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Name everything that is missing in a backup or damaged; the next backup sends what is damaged again."""
    target = open_backups(context.ground)
    manifest = target.manifest(payload["backup_id"])
    keyring = context.ground.blobs.keyring
    tenants = {pack.tenant_id for pack in (*manifest.packs, *manifest.missing)}
    destroyed = {pack_id for tenant_id in tenants for pack_id in keyring.destroyed(tenant_id)}
    faults = faults_of(target, manifest, quick=bool(payload["quick"]), spared=destroyed)
    for fault in faults:
        if fault.damaged:
            target.suspect(fault.damaged)
    with context.session() as session:
        audit.record(session, context.actor, "backup_verified", f"backups/{manifest.id}", faults=len(faults))
    return {
        "backup_id": manifest.id,
        "taken_at": manifest.taken_at.isoformat(),
        "faults": [fault.reason for fault in faults],
    }
