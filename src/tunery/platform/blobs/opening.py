"""From settings to the store."""

from __future__ import annotations

from tunery.platform.blobs.backends import open_backend
from tunery.platform.blobs.keyring import Keyring
from tunery.platform.blobs.master_keys import MASTER_KEYS, MasterKey, keys_in_environment, keys_in_file
from tunery.platform.blobs.store import BlobStore
from tunery.platform.db import Database
from tunery.settings import Settings

__all__ = ["open_store"]


def open_store(settings: Settings, database: Database) -> BlobStore:
    """Open the store that the settings name; nothing is written but a master key where there is none.

    Raises:
        InvalidInput: A URL or a key cannot be used. Refused: others may read the master key.
    """
    packs = settings.store_url or settings.folder("store", "packs").as_uri()
    keys = settings.store_keys_url or settings.folder("store", "keys").as_uri()
    keyring = Keyring(open_backend(keys), _masters(settings))
    return BlobStore(database, open_backend(packs), keyring, settings.folder("staging"))


def _masters(settings: Settings) -> list[MasterKey]:
    if settings.master_key_source:
        return MASTER_KEYS.get(settings.master_key_source)()
    if settings.master_key:
        return keys_in_environment(settings.master_key)
    return keys_in_file(settings.folder("keys") / "master.key")
