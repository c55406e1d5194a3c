"""What backups consist of, and how they are shown."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from tunery.platform.http.shapes import Camel

__all__ = ["BackupFile", "BackupManifest", "BackupPack", "BackupVerify", "BackupView", "MissingPack"]


class BackupFile(BaseModel):
    """A file of the backup and the chunks that it is made of."""

    path: str
    size_bytes: int
    chunks: list[str]


class BackupPack(BaseModel):
    """A pack of the store."""

    id: str
    tenant_id: str
    size_bytes: int
    checksum: str


class MissingPack(BackupPack):
    """A pack that the database names and that was damaged in the store."""

    reason: str


class BackupManifest(BaseModel):
    """A backup: one moment of the database, and every file that it needs; but for packs that were damaged."""

    schema_: int = Field(1, alias="schema")
    id: str
    taken_at: datetime
    tunery: str
    database: str
    revision: str
    tables: dict[str, list[str]] = {}
    files: list[BackupFile]
    packs: list[BackupPack]
    missing: list[MissingPack] = []
    copied_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        """Plain bytes of files, and bytes of packs."""
        return sum(file.size_bytes for file in self.files) + sum(pack.size_bytes for pack in self.packs)


class BackupVerify(Camel):
    """A wish to look a backup over."""

    backup_id: str | None = Field(None, max_length=40, description="Which backup; the newest where not given.")
    quick: bool = Field(False, description="Look only whether everything is there with its length.")


class BackupView(Camel):
    """A backup in a list; of one that cannot be read nothing but its id is known."""

    id: str
    state: Literal["complete", "incomplete", "unreadable"] = Field(
        description="incomplete: packs were damaged in the store and are not in it; unreadable: it cannot be put back."
    )
    reason: str = Field("", description="Why it is not complete, and what to do.")
    taken_at: datetime | None = Field(None, description="The moment whose state it holds.")
    tunery: str | None = Field(None, description="Version of Tunery that made it.")
    database: str | None = Field(None, description="sqlite or postgresql; it goes back to the same kind.")
    revision: str | None = Field(None, description="Schema of its database.")
    packs: int | None = None
    missing_packs: list[str] = Field([], description="Packs that are not in it, for they were damaged in the store.")
    size_bytes: int | None = None
    copied_bytes: int | None = Field(None, description="What had to be copied for it, the rest was there.")
