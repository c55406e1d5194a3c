"""Bring a test database to the newest schema, as a start of Tunery does."""

from __future__ import annotations

import sqlalchemy as sa

from tunery.platform.db.migrate import migrate_database
from tunery.platform.jobs.queue_database import migrate_queue
from tunery.rooms import load_rooms


def make_schema(url: str, app_role: str | None) -> None:
    """Create every table, and on Postgres its policies and grants."""
    load_rooms()
    migrate_database(url, app_role)
    if sa.make_url(url).get_backend_name() == "postgresql":
        migrate_queue(url, app_role)
