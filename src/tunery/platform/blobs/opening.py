"""From settings to the store."""

from __future__ import annotations

from pathlib import Path

from tunery.errors import InvalidInput
from tunery.platform.blobs.backends import Backend, Compression, Patience, bucket_at, open_backend, read_store_config
from tunery.platform.blobs.keyring import Keyring
from tunery.platform.blobs.master_keys import MASTER_KEYS, MasterKey, keys_in_environment, keys_in_file
from tunery.platform.blobs.store import BlobStore
from tunery.platform.db import Database
from tunery.settings import Settings

__all__ = ["configured", "master_keys", "open_mirror", "open_store", "table_place"]

_HOURS = {"hourly": 1.0, "daily": 24.0, "weekly": 168.0, "monthly": 720.0}


def configured(settings: Settings) -> Settings:
    """Return settings with what the store's file says of backups, where they do not say it themselves.

    Raises: InvalidInput: The file has faults.
    """
    backup = read_store_config(settings.store_config).backup if settings.store_config else None
    if backup is None or not backup.enabled:
        return settings
    place = backup.location
    said = {
        "backup_url": place if "://" in place else Path(place).expanduser().absolute().as_uri(),
        "backup_every_hours": _HOURS[backup.frequency],
        "backup_retention_days": backup.retention.days,
    }
    return settings.model_copy(update={k: v for k, v in said.items() if k not in settings.model_fields_set})


def open_store(settings: Settings, database: Database) -> BlobStore:
    """Open the store that the settings name; nothing is written but a master key where there is none.

    Raises:
        InvalidInput: A URL, the store's file of settings or a key cannot be used. Refused: the master key is lost, or
        others may read it.
    """
    if settings.store_url and settings.store_config:
        raise InvalidInput("both TUNERY_STORE_URL and TUNERY_STORE_CONFIG say where bytes lie; keep one of them")
    patience = Patience(settings.store_request_seconds, settings.store_retry_seconds)
    config = read_store_config(settings.store_config) if settings.store_config else None
    compression = config.compression if config else Compression()
    url = settings.store_url or settings.folder("store", "packs").as_uri()
    store = BlobStore(
        database,
        config.open(patience) if config else open_backend(url, patience),
        Keyring(_keys_place(settings), master_keys(settings)),
        settings.folder("staging"),
        level=compression.level if compression.enabled else 0,
    )
    store.mirror = open_mirror(settings)
    return store


def table_place(settings: Settings, tenant_id: str, table: str) -> tuple[str, dict[str, str]]:
    """Return where the log of a Delta table lies, and the options of that place as ``deltalake`` takes them.

    In the bucket of the packs where they lie in one, else in the home folder.
    """
    config = read_store_config(settings.store_config) if settings.store_config else None
    bucket = config.bucket if config else bucket_at(settings.store_url or "")
    if bucket is None:
        return str(settings.folder("datasets", tenant_id, table)), {}
    return f"{bucket.url}/tables/{tenant_id}/{table}", {**bucket.options, **bucket.plain_http}


def open_mirror(settings: Settings) -> Backend | None:
    """Open the place of the backup's packs, where the settings name a backup."""
    if not settings.backup_url:
        return None
    patience = Patience(settings.store_request_seconds, settings.store_retry_seconds)
    return open_backend(settings.backup_url.rstrip("/") + "/packs", patience)


def master_keys(settings: Settings) -> list[MasterKey]:
    """Return the master keys that the settings name; the first wraps, all unwrap."""
    if settings.master_key_source:
        return MASTER_KEYS.get(settings.master_key_source)()
    if settings.master_key:
        return keys_in_environment(settings.master_key)
    return keys_in_file(settings.folder("keys") / "master.key", _keys_place(settings))


def _keys_place(settings: Settings) -> Backend:
    patience = Patience(settings.store_request_seconds, settings.store_retry_seconds)
    return open_backend(settings.store_keys_url or settings.folder("store", "keys").as_uri(), patience)
