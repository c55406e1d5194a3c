"""DBOS's own tables: a SQLite file of their own beside the data, or the schema ``dbos`` on Postgres."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from dbos import DBOS

from tunery.platform.db.engine import make_engine, sqlite_module
from tunery.settings import Settings

__all__ = ["migrate_queue", "queue_engine"]


def queue_engine(settings: Settings) -> sa.Engine:
    """Make the engine that DBOS works on.

    On SQLite a lost last commit is harmless, for the sweep hands a job's row over again: so ``synchronous=NORMAL``. The
    driver begins transactions itself there, as DBOS's own migrations expect.
    """
    if not settings.is_sqlite:
        return make_engine(settings.effective_database_url)
    engine = sa.create_engine(
        f"sqlite:///{settings.home / 'queue.sqlite'}",
        module=sqlite_module(),
        connect_args={"timeout": 30, "check_same_thread": False},
    )

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = "IMMEDIATE"
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=30000"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def migrate_queue(url: str, app_role: str | None) -> None:
    """Make DBOS's schema on Postgres, as the owner, and grant the application's role its rights."""
    plain = sa.make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    DBOS.migrate(plain, application_role=app_role)
