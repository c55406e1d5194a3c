"""Put a backup back, into a home and a database that are empty.

Everything is looked at before anything is written: the master key, the wrapped keys of every pack, every byte of the
backup. Packs and tables come first and the database last, so that an interrupted restore is repeated; an interrupted
one on Postgres may need the database emptied, and says so.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tunery.errors import IntegrityError, NotFound, Refused
from tunery.kit.durable import sync_folder
from tunery.platform.blobs.copying import fetch_pack
from tunery.platform.blobs.keyring import Keyring
from tunery.platform.blobs.opening import master_keys, open_store
from tunery.platform.blobs.packs import pack_name
from tunery.platform.blobs.store import BlobStore
from tunery.platform.db import Database
from tunery.platform.db.engine import make_engine
from tunery.platform.db.migrate import migrate_database, owner_of
from tunery.platform.ground import Ground
from tunery.settings import Settings
from tunery.storage.backup.dumping import SQLITE_FILE, load_postgres, refuse_full_database
from tunery.storage.backup.schemas import BackupFile, BackupManifest
from tunery.storage.backup.settling import settle
from tunery.storage.backup.target import Target, open_target
from tunery.storage.backup.verifying import faults_of

__all__ = ["Restored", "restore_backup"]


@dataclass(frozen=True)
class Restored:
    """What was put back.

    Attributes:
        backup_id: Which backup.
        taken_at: The moment whose state this is, ISO 8601.
        packs: How many packs were put back.
        size_bytes: How many bytes in all.
        destroyed_packs: How many packs stay unreadable, for their keys were destroyed since.
        destroyed_versions: The model versions that went with them.
    """

    backup_id: str
    taken_at: str
    packs: int
    size_bytes: int
    destroyed_packs: int
    destroyed_versions: list[str]


def restore_backup(settings: Settings, url: str, backup_id: str | None = None) -> Restored:
    """Put a backup back; the newest where no id is given. Nobody may serve the home meanwhile.

    Raises:
        NotFound: There is no such backup. Refused: the home, its database or its store is not empty, or keys are
        missing. IntegrityError: The master key is another one, or the backup is damaged. In each case nothing was
        changed.
    """
    _refuse_without_master_key(settings)
    target = open_target(url, master_keys(settings))
    manifest = target.manifest(backup_id)
    _refuse_other_database(settings, manifest)
    database = Database(settings.effective_database_url)
    try:
        store = open_store(settings, database)
        destroyed = _destroyed_packs(store.keyring, manifest)
        if faults := faults_of(target, manifest, spared=destroyed):
            shown = "; ".join(faults[:20])
            raise IntegrityError(f"backup {manifest.id} has {len(faults)} faults, nothing was restored: {shown}")
        _refuse_full_store(settings, store, manifest)
    finally:
        database.close()
    for pack in manifest.packs:
        if pack.id not in destroyed and not _is_here(store, pack_name(pack.tenant_id, pack.id), pack.size_bytes):
            fetch_pack(target.packs, pack, store.backend, store)
    for file in manifest.files:
        if file.path.startswith("datasets/"):
            _write(target, file, settings.folder("datasets") / file.path.removeprefix("datasets/"))
    return _restore_database(settings, target, manifest, destroyed)


def _restore_database(settings: Settings, target: Target, manifest: BackupManifest, destroyed: set[str]) -> Restored:
    files = {file.path: file for file in manifest.files}
    if settings.is_sqlite:
        final = Path(sa.make_url(settings.effective_database_url).database or "")
        staged = final.with_name(f".{final.name}.restored")
        for rest in ("-wal", "-shm"):  # of a restore that was killed: SQLite would replay it over this one
            staged.with_name(staged.name + rest).unlink(missing_ok=True)
        _write(target, files[SQLITE_FILE], staged)
        url = f"sqlite:///{staged}"
        migrate_database(url, None)
    else:
        url = settings.effective_database_url

        def read(table: str) -> Iterator[bytes]:
            return target.pieces(files[f"database/{table}"])

        load_postgres(*owner_of(settings), manifest.tables, manifest.revision, read)
    database = Database(url)
    try:
        ground = Ground(settings, database, open_store(settings, database))
        gone = settle(ground, target, manifest, destroyed)
        if settings.is_sqlite:
            with database.engine.connect() as connection:
                connection.connection.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
    finally:
        database.close()
    if settings.is_sqlite:
        for ending in ("-wal", "-shm"):
            final.with_name(final.name + ending).unlink(missing_ok=True)
            staged.with_name(staged.name + ending).unlink(missing_ok=True)
        os.replace(staged, final)
        sync_folder(final.parent)
    put_back = [pack for pack in manifest.packs if pack.id not in destroyed]
    return Restored(
        manifest.id, manifest.taken_at.isoformat(), len(put_back), manifest.size_bytes, len(destroyed), gone
    )


def _refuse_without_master_key(settings: Settings) -> None:
    given = settings.master_key_source or settings.master_key or (settings.home / "keys" / "master.key").exists()
    if not given:
        raise Refused(
            f"the master key is missing: put keys/master.key back into {settings.home}, or give TUNERY_MASTER_KEY; "
            f"without it no backup can be read"
        )


def _refuse_other_database(settings: Settings, manifest: BackupManifest) -> None:
    kind = "sqlite" if settings.is_sqlite else "postgresql"
    if manifest.database != kind:
        raise Refused(
            f"the backup is of a {manifest.database} database and this home uses {kind}; set the database URL"
        )
    path = Path(sa.make_url(settings.effective_database_url).database or "")
    if not settings.is_sqlite or path.exists():
        engine = make_engine(owner_of(settings)[0])
        try:
            refuse_full_database(engine)
        finally:
            engine.dispose()


def _destroyed_packs(keyring: Keyring, manifest: BackupManifest) -> set[str]:
    """Return the backup's packs whose keys were destroyed. Raises: Refused: others are missing."""
    by_tenant: dict[str, list[str]] = defaultdict(list)
    for pack in manifest.packs:
        by_tenant[pack.tenant_id].append(pack.id)
    destroyed: set[str] = set()
    for tenant_id, wanted in by_tenant.items():
        here, gone = set(keyring.packs(tenant_id)), keyring.destroyed(tenant_id)
        destroyed |= {pack_id for pack_id in wanted if pack_id in gone}
        if lost := [pack_id for pack_id in wanted if pack_id not in here and pack_id not in gone]:
            raise Refused(
                f"the keys of {len(lost)} packs are missing (of pack {lost[0]} first): put the folder of wrapped keys "
                f"back from its newest copy (store/keys in the home, or TUNERY_STORE_KEYS_URL); nothing was restored"
            )
        for pack_id in wanted:
            if pack_id not in gone:
                keyring.of(tenant_id, pack_id)
    return destroyed


def _refuse_full_store(settings: Settings, store: BlobStore, manifest: BackupManifest) -> None:
    named = {pack_name(pack.tenant_id, pack.id) for pack in manifest.packs}
    for tenant_id in {pack.tenant_id for pack in manifest.packs}:
        for entry in store.backend.entries(tenant_id):
            if entry.name not in named:
                raise Refused(
                    f"the store at {store.backend.url} is not empty (it holds {entry.name}, which this backup does not "
                    f"name); restore into an empty one. Nothing was changed"
                )
    tables = {file.path for file in manifest.files}
    root = settings.folder("datasets")
    for path in root.rglob("*"):
        if path.is_file() and f"datasets/{path.relative_to(root).as_posix()}" not in tables:
            raise Refused(f"the home is not empty ({path}); restore into an empty one. Nothing was changed")


def _is_here(store: BlobStore, name: str, size: int) -> bool:
    try:
        return len(store.backend.read(name, size - 1, 1)) == 1
    except NotFound:
        return False


def _write(target: Target, file: BackupFile, path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.partial")
    with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as written:
        for piece in target.pieces(file):
            written.write(piece)
        written.flush()
        os.fsync(written.fileno())
    os.replace(staged, path)
    sync_folder(path.parent)
