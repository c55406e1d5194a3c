"""Shapes of files, jobs and the system's own state."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from tunery.platform.http import Camel

__all__ = ["FileView", "JobView", "SystemView"]


class FileView(Camel):
    """Uploaded bytes."""

    digest: str = Field(description="SHA-256 of the bytes.")
    size_bytes: int


class JobView(Camel):
    """A job of the queue."""

    id: str
    kind: str
    status: str = Field(description="queued, running, succeeded, failed or cancelled.")
    subject: str | None
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    attempts: int
    created_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float = Field(0.0, description="Time worked on it (so far), all attempts together.")


class SystemView(Camel):
    """What is running here."""

    version: str
    tenant: str
    user: str
    roles: list[str]
    database: str
    worker: bool
