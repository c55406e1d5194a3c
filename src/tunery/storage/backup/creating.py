"""Make a backup, and let old ones go."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog

import tunery
from tunery.errors import IntegrityError, NotFound, SchemaNewer, StaleState
from tunery.kit.clock import now
from tunery.kit.ids import new_id
from tunery.platform.blobs.copying import copy_packs
from tunery.platform.blobs.packs import pack_name
from tunery.platform.blobs.tables import Pack
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import scratch_folder
from tunery.storage.backup.dumping import Dump, dump_database
from tunery.storage.backup.schemas import BackupFile, BackupManifest, BackupPack
from tunery.storage.backup.target import Target

__all__ = ["FRESH", "create_backup", "let_go"]

log = structlog.get_logger(__name__)
FRESH = timedelta(days=1)
"""What was written within is spared: a backup, or a collection, may be about to name it."""
_ATTEMPTS = 3


def create_backup(ground: Ground, target: Target, watch: Callable[[int], None] = lambda _: None) -> BackupManifest:
    """Make a backup of everything, copying only what the target lacks.

    Args:
        ground: The home.
        target: Where it goes.
        watch: Told now and then how many bytes were copied so far; it may raise to end the backup.

    Raises:
        IntegrityError: Database or a pack is damaged. Unavailable: the place does not answer. In each case the backups
        made before stay as they are.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return _create(ground, target, watch)
        except StaleState:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def let_go(target: Target, retention: timedelta, fresh: timedelta = FRESH) -> list[str]:
    """Take away backups older than the retention, but for the newest, and whatever no backup names any more.

    Nothing is taken while the manifest of a backup that stays cannot be read.

    Returns:
        The ids of the backups that went.
    """
    try:
        known = [target.manifest(backup_id) for backup_id in target.manifest_ids()]
    except (IntegrityError, SchemaNewer) as error:
        log.warning("old backups stay, for one cannot be read", reason=error.message)
        return []
    cutoff = now() - retention
    old = [manifest for manifest in known[1:] if manifest.taken_at < cutoff]
    for manifest in old:
        target.backend.delete(f"manifests/{manifest.id}")
    kept = [manifest for manifest in known if manifest not in old]
    chunks = {chunk for manifest in kept for file in manifest.files for chunk in file.chunks}
    packs = {pack_name(pack.tenant_id, pack.id) for manifest in kept for pack in manifest.packs}
    limit = min(now() - fresh, known[0].taken_at)  # what took over from a named pack during the backup stays
    for entry in [*target.backend.entries("chunks")]:
        if entry.name.rpartition("/")[2] not in chunks and entry.modified_at < limit:
            target.backend.delete(entry.name)
    for tenant_id in {pack.tenant_id for manifest in known for pack in manifest.packs}:
        for entry in [*target.packs.entries(tenant_id)]:
            if entry.name not in packs and entry.modified_at < limit:
                target.packs.delete(entry.name)
    return [manifest.id for manifest in old]


def _create(ground: Ground, target: Target, watch: Callable[[int], None]) -> BackupManifest:
    taken_at = now()
    copied = 0

    def sent(size: int) -> None:
        nonlocal copied
        copied += size
        watch(copied)

    with scratch_folder(ground.settings, "backup") as folder:
        dump = dump_database(ground.database, folder)
        files = [target.keep(path, name, sent) for name, path in dump.files.items()]
    _copy_packs(ground, target, dump.packs, sent)
    manifest = _manifest(dump, taken_at, files, copied)
    target.sign(manifest)
    return manifest


def _manifest(dump: Dump, taken_at: datetime, files: list[BackupFile], copied: int) -> BackupManifest:
    return BackupManifest(
        schema=1,
        id=new_id(),
        taken_at=taken_at,
        tunery=tunery.__version__,
        database=dump.kind,
        revision=dump.revision,
        tables=dump.tables,
        files=files,
        packs=dump.packs,
        copied_bytes=copied,
    )


def _copy_packs(ground: Ground, target: Target, packs: list[BackupPack], sent: Callable[[int], None]) -> None:
    before = 0

    def watch(copied: int) -> None:
        nonlocal before
        sent(copied - before)
        before = copied

    try:
        copy_packs(ground.blobs, packs, target.packs, watch)
    except (NotFound, IntegrityError) as error:
        with ground.database.system_session("a backup looks whether packs went since its dump") as session:
            wanted = {pack.id for pack in packs}
            rows = session.scalars(sa.select(Pack.id).where(Pack.doomed_at.is_(None)))
            gone = wanted - set(rows)
        if gone:
            raise StaleState(f"{len(gone)} packs were collected while they were copied; begin anew") from error
        raise IntegrityError(f"the store is damaged, so this was no backup: {error.message}") from error
