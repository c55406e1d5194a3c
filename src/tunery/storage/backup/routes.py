"""Routes of backups; putting one back needs no server: ``tunery backup restore``."""

from __future__ import annotations

from tunery.datasets.views import JobStarted
from tunery.platform.db import Page
from tunery.platform.http import Call, Limit, Offset, route
from tunery.storage.backup import operations
from tunery.storage.backup.schemas import BackupVerify, BackupView
from tunery.storage.upkeep.operations import require_operator

__all__: list[str] = []


@route("backup.create", "POST", "/backups", permission="system:backup", status=202)
def create_backup(call: Call) -> JobStarted:
    """Make a backup of everything, copying only what is not there yet; for the operator."""
    return JobStarted(job_id=operations.start_backup(call.session, call.ground, call.actor).id)


@route("backup.list", "GET", "/backups", permission="system:backup")
def list_backups(call: Call, limit: Limit = 50, offset: Offset = 0) -> list[BackupView]:
    """List backups, the newest first; for the operator."""
    require_operator(call.session, call.actor, "see backups: they hold the things of all tenants")
    found = operations.list_backups(call.ground)
    return call.page(Page(found[offset : offset + limit], len(found), limit, offset), lambda one: one)


@route("backup.verify", "POST", "/backups/verify", permission="system:backup", status=202)
def verify_backup(call: Call, body: BackupVerify) -> JobStarted:
    """Look a backup over and name what is missing or damaged; for the operator."""
    return JobStarted(job_id=operations.start_verification(call.session, call.ground, call.actor, body).id)
