"""Put a backup back, into a home and a database that are empty.

Everything is looked at before anything is written: the master key, the wrapped keys of every pack, every byte of the
backup. Then the home is marked, packs and tables come, and the database last. An interrupted restore is repeated: the
mark says that what lies there is of the same backup, and until it is gone nobody serves the home. On SQLite the
database is put in order beside its place; on Postgres a table tells that its rows are not in order yet, and then they
are loaded anew.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tunery.audit import AuditEntry
from tunery.datasets.versions.rebuilding import rebuild_logs
from tunery.errors import IntegrityError, NotFound, Refused
from tunery.identity.tables import Tenant
from tunery.kit.durable import sync_folder
from tunery.kit.ids import parse_id
from tunery.platform.blobs.backends.disk import disk_faults
from tunery.platform.blobs.copying import checksum_at, fetch_pack, is_marked
from tunery.platform.blobs.keyring import Keyring
from tunery.platform.blobs.opening import master_keys, open_store
from tunery.platform.blobs.packs import pack_name
from tunery.platform.blobs.store import BlobStore
from tunery.platform.db import Database
from tunery.platform.db.engine import make_engine
from tunery.platform.db.migrate import migrate_database, owner_of
from tunery.platform.ground import Ground
from tunery.settings import Settings
from tunery.storage.backup.dumping import SQLITE_FILE, end_load, is_loading, load_postgres, refuse_full_database
from tunery.storage.backup.schemas import BackupManifest, BackupPack
from tunery.storage.backup.settling import Settled, settle
from tunery.storage.backup.target import Target, open_target
from tunery.storage.backup.verifying import faults_of

__all__ = ["Restored", "refuse_half_restored", "restore_backup"]

_MARK = "restoring"
"""A file of the home: which backup is being put back into it."""


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
        damaged_packs: Packs that were not put back, and why: they were damaged when the backup was made, or took over
            from others since and are damaged at its place.
        damaged_versions: The model versions that lack bytes because of that.
    """

    backup_id: str
    taken_at: str
    packs: int
    size_bytes: int
    destroyed_packs: int
    destroyed_versions: list[str]
    damaged_packs: dict[str, str]
    damaged_versions: list[str]


def refuse_half_restored(settings: Settings) -> None:
    """Raise Refused where a restore into this home was not finished: collection would take its packs for garbage."""
    if (settings.home / _MARK).exists():
        raise Refused(f"a restore into {settings.home} was not finished; repeat it: `tunery backup restore`")


def restore_backup(settings: Settings, url: str, backup_id: str | None = None) -> Restored:
    """Put a backup back; the newest where no id is given. Nobody may serve the home meanwhile.

    Interrupted, it is repeated with the same backup, and is as if it had never been interrupted.

    Raises:
        NotFound: There is no such backup. Refused: the home, its database or its store is not empty, or keys are
        missing. IntegrityError: The master key is another one, or the backup is damaged. In each case nothing was
        changed.
    """
    _refuse_without_master_key(settings)
    target = open_target(url, master_keys(settings))
    mark = settings.home / _MARK
    manifest = target.manifest(backup_id or _begun(mark))
    database = Database(settings.effective_database_url)
    try:
        store = open_store(settings, database)
        destroyed = _destroyed_packs(store.keyring, manifest)
        if (begun := _begun(mark)) not in (None, manifest.id):
            raise Refused(
                f"{settings.home} holds half of backup {begun}: repeat the restore of that one, or empty it. "
                f"Nothing was changed"
            )
        settled = _settled_before(settings, database, manifest) if begun else None
        if settled is None:
            _refuse_other_database(settings, manifest)
            known = {*destroyed, *(pack.id for pack in manifest.missing)}
            if faults := faults_of(target, manifest, spared=known):
                shown = "; ".join(fault.reason for fault in faults[:20])
                raise IntegrityError(f"backup {manifest.id} has {len(faults)} faults, nothing was restored: {shown}")
            if not begun:
                _refuse_full_store(store, manifest)
    finally:
        database.close()
    if settled is None:
        _write([json.dumps({"backup": manifest.id}).encode()], settings.folder() / _MARK)
        settled = _put_back(settings, target, store, manifest, destroyed)
    mark.unlink()
    sync_folder(mark.parent)
    return Restored(
        manifest.id,
        manifest.taken_at.isoformat(),
        sum(pack.id not in destroyed for pack in manifest.packs),
        manifest.size_bytes,
        len(destroyed),
        settled.destroyed_versions,
        settled.damaged_packs,
        settled.damaged_versions,
    )


def _put_back(
    settings: Settings, target: Target, store: BlobStore, manifest: BackupManifest, destroyed: set[str]
) -> Settled:
    for pack in manifest.packs:
        if pack.id not in destroyed:
            _fetch(target, store, pack)
    absent: dict[str, str] = {}
    for missing in manifest.missing:
        try:  # a later backup may have found it mended
            if missing.id not in destroyed:
                _fetch(target, store, missing)
        except (NotFound, IntegrityError):
            absent[missing.id] = missing.reason
    return _restore_database(settings, target, manifest, destroyed, absent)


def _fetch(target: Target, store: BlobStore, pack: BackupPack) -> None:
    """Put a pack back, unless it is here from an attempt before, byte by byte."""
    try:
        if checksum_at(store.backend, pack) == pack.checksum:
            return
    except (NotFound, IntegrityError):
        pass
    fetch_pack(target.packs, pack, store.backend, store)


def _begun(mark: Path) -> str | None:
    """Return the backup whose restore into this home was not finished."""
    return str(json.loads(mark.read_bytes())["backup"]) if mark.exists() else None


def _settled_before(settings: Settings, database: Database, manifest: BackupManifest) -> Settled | None:
    """Return what was found when all was done but to take away the mark."""
    if settings.is_sqlite and not Path(database.engine.url.database or "").exists():
        return None
    with database.engine.connect() as connection:
        if is_loading(connection) or not sa.inspect(connection).has_table(AuditEntry.__tablename__):
            return None
    with database.system_session("a restore looks whether it was finished", read_only=True) as session:
        entries = sa.select(AuditEntry).where(
            AuditEntry.action == "backup_restored", AuditEntry.resource == f"backups/{manifest.id}"
        )
        entry = session.scalars(entries.order_by(AuditEntry.id.desc())).first()
        return Settled.of(entry.details) if entry is not None else None


def _restore_database(
    settings: Settings, target: Target, manifest: BackupManifest, destroyed: set[str], absent: dict[str, str]
) -> Settled:
    files = {file.path: file for file in manifest.files}
    if settings.is_sqlite:
        final = Path(sa.make_url(settings.effective_database_url).database or "")
        staged = final.with_name(f".{final.name}.restored")
        for rest in ("-wal", "-shm"):  # of a restore that was killed: SQLite would replay it over this one
            staged.with_name(staged.name + rest).unlink(missing_ok=True)
        _write(target.pieces(files[SQLITE_FILE]), staged)
        url = f"sqlite:///{staged}"
        migrate_database(url, None)
    else:
        url = settings.effective_database_url

        def read(table: str) -> Iterator[bytes]:
            return target.pieces(files[f"database/{table}"])

        load_postgres(*owner_of(settings), manifest, read)
    database = Database(url)
    try:
        ground = Ground(settings, database, open_store(settings, database))
        settled = settle(ground, target, manifest, destroyed, absent)
        with database.system_session("a restore makes the logs of all datasets again", read_only=True) as session:
            tenants = session.scalars(sa.select(Tenant.id)).all()
        for tenant_id in tenants:
            rebuild_logs(ground, tenant_id)
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
    else:
        end_load(owner_of(settings)[0])
    return settled


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
            refuse_full_database(engine, manifest.id)
        finally:
            engine.dispose()


def _destroyed_packs(keyring: Keyring, manifest: BackupManifest) -> set[str]:
    """Return the backup's packs whose keys were destroyed. Raises: Refused: others are missing."""
    by_tenant: dict[str, list[str]] = defaultdict(list)
    for pack in manifest.packs:
        by_tenant[pack.tenant_id].append(pack.id)
    destroyed = {pack.id for pack in manifest.missing if pack.id in keyring.destroyed(pack.tenant_id)}
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


def _refuse_full_store(store: BlobStore, manifest: BackupManifest) -> None:
    if is_marked(store.backend):
        raise Refused(
            f"the store is to keep its packs at {store.backend.url}, where those of a backup lie; give it a place of "
            f"its own. Nothing was changed"
        )
    named = {pack_name(pack.tenant_id, pack.id) for pack in (*manifest.packs, *manifest.missing)}
    for entry in store.backend.entries(None):
        parts = entry.name.split("/")
        is_pack = len(parts) == 2 and all(parse_id(part) == part for part in parts)  # a bucket may hold other things
        if is_pack and entry.name not in named:
            raise Refused(
                f"the store at {store.backend.url} is not empty (it holds {entry.name}, which this backup does not "
                f"name); restore into an empty one. Nothing was changed"
            )


def _write(pieces: Iterable[bytes], path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.partial")
    with disk_faults(), os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as written:
        for piece in pieces:
            written.write(piece)
        written.flush()
        os.fsync(written.fileno())
    os.replace(staged, path)
    sync_folder(path.parent)
