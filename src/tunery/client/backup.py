"""Backups of the whole home; for the operator."""

from __future__ import annotations

from tunery.client.nouns import Noun, Page, view
from tunery.client.transport import path_of
from tunery.datasets.views import JobStarted
from tunery.storage.backup.schemas import BackupView

__all__ = ["Backup"]


class Backup(Noun):
    """Backups: database, packs and dataset tables. Putting one back is a command: ``tunery backup restore``."""

    def create(self) -> JobStarted:
        """Make a backup, copying only what is not there yet; where one is being made, that job is the answer.

        The job's result says ``state``, and which packs are not in it, for they are damaged (``missing_packs``).
        """
        return view(JobStarted, self._send("POST", path_of("backups")))

    def list(self, *, limit: int = 50, offset: int = 0) -> Page[BackupView]:
        """List backups, the newest first; those that are not complete or cannot be read say so in ``state``."""
        return self._page(BackupView, path_of("backups"), limit=limit, offset=offset)

    def verify(self, backup_id: str | None = None, *, quick: bool = False) -> JobStarted:
        """Look a backup over; the job's result names what is missing or damaged.

        Args:
            backup_id: Which backup; none: the newest.
            quick: Look only whether everything is there with its length.
        """
        return view(
            JobStarted, self._send("POST", path_of("backups", "verify"), {"backupId": backup_id, "quick": quick})
        )
