"""What every use case stands on, built once by ``app.py`` and handed down."""

from __future__ import annotations

from dataclasses import dataclass

from tunery.platform.blobs import BlobStore, configured, open_store
from tunery.platform.db import Database
from tunery.settings import Settings

__all__ = ["Ground"]


@dataclass(frozen=True)
class Ground:
    """Settings, database and blobs of one Tunery."""

    settings: Settings
    database: Database
    blobs: BlobStore

    @classmethod
    def build(cls, settings: Settings) -> Ground:
        """Open the database and the store that the settings name; nothing is migrated or started."""
        settings = configured(settings)
        database = Database(settings.effective_database_url)
        return cls(settings, database, open_store(settings, database))
