"""Make a backup, and let old ones go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog

import tunery
from tunery.errors import IntegrityError, Refused, SchemaNewer, StaleState
from tunery.kit.clock import now
from tunery.kit.ids import new_id
from tunery.platform.blobs.copying import copy_packs, is_marked, mark_place, suspects, trust, unmark_place
from tunery.platform.blobs.opening import master_keys
from tunery.platform.blobs.packs import pack_name
from tunery.platform.blobs.tables import Pack
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import scratch_folder
from tunery.storage.backup.dumping import Dump, dump_database
from tunery.storage.backup.schemas import BackupFile, BackupManifest, BackupPack, MissingPack
from tunery.storage.backup.target import Target

__all__ = ["FRESH", "LetGo", "create_backup", "let_go"]

log = structlog.get_logger(__name__)
FRESH = timedelta(days=1)
"""What was written within is spared: a backup, or a collection, may be about to name it."""
_ATTEMPTS = 3


@dataclass(frozen=True)
class LetGo:
    """What became of old backups.

    Attributes:
        removed: The backups that went.
        unreadable: Backups whose manifests cannot be read, and why; while they stay, so does all that they may name.
    """

    removed: list[str]
    unreadable: dict[str, str]


def create_backup(ground: Ground, target: Target, watch: Callable[[int], None] = lambda _: None) -> BackupManifest:
    """Make a backup of everything, copying only what the target lacks or is known to hold damaged.

    Packs that are damaged in the store are left out and named in the manifest.

    Args:
        ground: The home.
        target: Where it goes.
        watch: Told now and then how many bytes were copied so far; it may raise to end the backup.

    Raises:
        IntegrityError: The database is damaged. Refused: the place is the store itself. Unavailable: it does not
        answer. In each case the backups made before stay as they are.
    """
    _refuse_own_store(ground, target)
    target.rewrap(master_keys(ground.settings))
    for attempt in range(_ATTEMPTS):
        try:
            return _create(ground, target, watch)
        except StaleState:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def let_go(target: Target, retention: timedelta, fresh: timedelta = FRESH) -> LetGo:
    """Take away backups older than the retention, but for the newest, and whatever no backup names any more.

    One whose manifest cannot be read goes when that was written longer ago than the retention; until then everything
    stays that it may name.
    """
    cutoff, known, unreadable = now() - retention, list[BackupManifest](), dict[str, str]()
    written = {entry.name: entry.modified_at for entry in target.backend.entries("manifests")}
    for backup_id in target.manifest_ids():
        try:
            known.append(target.manifest(backup_id))
        except (IntegrityError, SchemaNewer) as error:
            unreadable[backup_id] = error.message
    old = [manifest.id for manifest in known[1:] if manifest.taken_at < cutoff]
    if known:
        old += [backup_id for backup_id in unreadable if written[f"manifests/{backup_id}"] < cutoff]
    for backup_id in old:
        target.backend.delete(f"manifests/{backup_id}")
        unreadable.pop(backup_id, None)
    if unreadable or not known:
        log.warning("what old backups named stays, for a backup cannot be read", reasons=unreadable)
        return LetGo(old, unreadable)
    kept = [manifest for manifest in known if manifest.id not in old]
    tenants = {pack.tenant_id for manifest in known for pack in manifest.packs}
    # What a damaged pack took over from waits in the store with its key, and no backup names it then.
    _let_go_unnamed(target, kept, tenants - {pack.tenant_id for pack in kept[0].missing}, fresh)
    return LetGo(old, unreadable)


def _let_go_unnamed(target: Target, kept: list[BackupManifest], tenants: set[str], fresh: timedelta) -> None:
    chunks = {f"chunks/{chunk}" for manifest in kept for file in manifest.files for chunk in file.chunks}
    packs = {pack_name(p.tenant_id, p.id) for manifest in kept for p in (*manifest.packs, *manifest.missing)}
    limit = min(now() - fresh, kept[0].taken_at)  # what took over from a named pack during the backup stays
    for backend, folders, named in ((target.backend, {"chunks"}, chunks), (target.packs, tenants, packs)):
        for entry in [entry for folder in folders for entry in backend.entries(folder)]:
            if entry.name not in named and entry.modified_at < limit:
                backend.delete(entry.name)
        for name in suspects(backend) - named:
            trust(backend, name)


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
    missing = _copy_packs(ground, target, dump.packs, sent)
    manifest = _manifest(dump, taken_at, files, copied, missing)
    target.sign(manifest)
    return manifest


def _manifest(
    dump: Dump, taken_at: datetime, files: list[BackupFile], copied: int, missing: dict[str, str]
) -> BackupManifest:
    return BackupManifest(
        schema=1,
        id=new_id(),
        taken_at=taken_at,
        tunery=tunery.__version__,
        database=dump.kind,
        revision=dump.revision,
        tables=dump.tables,
        files=files,
        packs=[pack for pack in dump.packs if pack.id not in missing],
        missing=[
            MissingPack(**pack.model_dump(), reason=missing[pack.id]) for pack in dump.packs if pack.id in missing
        ],
        copied_bytes=copied,
    )


def _copy_packs(ground: Ground, target: Target, packs: list[BackupPack], sent: Callable[[int], None]) -> dict[str, str]:
    """Copy packs; return those that are damaged in the store, and why. Raises: StaleState: some went since the dump."""
    before = 0

    def watch(copied: int) -> None:
        nonlocal before
        sent(copied - before)
        before = copied

    missing = copy_packs(ground.blobs, packs, target.packs, watch, skip_damaged=True)
    if missing:
        with ground.database.system_session("a backup looks whether packs went since its dump") as session:
            standing = set(session.scalars(sa.select(Pack.id).where(Pack.doomed_at.is_(None))))
        if gone := missing.keys() - standing:
            raise StaleState(f"{len(gone)} packs were collected while they were copied; begin anew")
    return missing


def _refuse_own_store(ground: Ground, target: Target) -> None:
    """The mark appears in the store where both are one folder or bucket, however they are written."""
    mark_place(target.packs)
    if is_marked(ground.blobs.backend):
        unmark_place(target.packs)
        raise Refused(
            f"{target.packs.url} is where the store itself keeps its packs, so nothing would be copied there; set "
            f"TUNERY_BACKUP_URL to a place of its own, best on another disk"
        )
