"""From settings to the store."""

from __future__ import annotations

from tunery.errors import InvalidInput
from tunery.platform.blobs.backends import Patience, open_backend, read_store_config
from tunery.platform.blobs.keyring import Keyring
from tunery.platform.blobs.master_keys import MASTER_KEYS, MasterKey, keys_in_environment, keys_in_file
from tunery.platform.blobs.store import BlobStore
from tunery.platform.db import Database
from tunery.settings import Settings

__all__ = ["open_store"]


def open_store(settings: Settings, database: Database) -> BlobStore:
    """Open the store that the settings name; nothing is written but a master key where there is none.

    Raises:
        InvalidInput: A URL, the store's file of settings or a key cannot be used. Refused: others may read the master
        key.
    """
    if settings.store_url and settings.store_config:
        raise InvalidInput("both TUNERY_STORE_URL and TUNERY_STORE_CONFIG say where bytes lie; keep one of them")
    patience = Patience(settings.store_request_seconds, settings.store_retry_seconds)
    config = read_store_config(settings.store_config) if settings.store_config else None
    url = settings.store_url or settings.folder("store", "packs").as_uri()
    keys = open_backend(settings.store_keys_url or settings.folder("store", "keys").as_uri(), patience)
    return BlobStore(
        database,
        config.open(patience) if config else open_backend(url, patience),
        Keyring(keys, _masters(settings)),
        settings.folder("staging"),
        compress=config is None or config.compression.enabled,
    )


def _masters(settings: Settings) -> list[MasterKey]:
    if settings.master_key_source:
        return MASTER_KEYS.get(settings.master_key_source)()
    if settings.master_key:
        return keys_in_environment(settings.master_key)
    return keys_in_file(settings.folder("keys") / "master.key")
