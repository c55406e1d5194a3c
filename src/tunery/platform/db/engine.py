"""Engines: SQLite with the settings that keep data safe, Postgres as it is."""

from __future__ import annotations

import sqlite3
from types import ModuleType
from typing import Any

import sqlalchemy as sa

from tunery.errors import InvalidInput
from tunery.kit.extras import require

__all__ = ["make_engine", "sqlite_module", "sqlite_warning"]

_SAFE_SQLITE = (3, 51, 3)


def sqlite_module() -> ModuleType:
    """Return the newest SQLite driver here: the wheel ``pysqlite3`` where the standard library's is older.

    SQLite 3.7.0-3.51.2 can corrupt a WAL file on a rare reset race. Source: https://sqlite.org/wal.html
    """
    if sqlite3.sqlite_version_info < _SAFE_SQLITE:
        try:
            from pysqlite3 import dbapi2
        except ImportError:
            return sqlite3
        return dbapi2
    return sqlite3


def sqlite_warning() -> str | None:
    """Return a sentence for the log and for ``tunery doctor`` if this SQLite has the WAL reset fault, else None."""
    module = sqlite_module()
    if module.sqlite_version_info >= _SAFE_SQLITE:
        return None
    return (
        f"SQLite {module.sqlite_version} can corrupt its WAL file on a rare race; "
        f"use a Python whose SQLite is 3.51.3 or newer, or Postgres"
    )


def make_engine(url: str) -> sa.Engine:
    """Make an engine. On SQLite: WAL, foreign keys, a busy timeout, and transactions that begin where we say.

    Args:
        url: ``sqlite:///...`` or ``postgresql://...`` (the driver is chosen here).

    Raises:
        InvalidInput: The URL is of a database that is not supported.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    if parsed.get_backend_name() == "postgresql":
        require("psycopg", "postgres")
        return sa.create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True, pool_size=10)
    raise InvalidInput(f"database {parsed.get_backend_name()!r} is not supported: use sqlite:/// or postgresql://")


def _sqlite(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, module=sqlite_module(), connect_args={"timeout": 30, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would break transactional DDL and write order
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        reading = connection.get_execution_options().get("tunery_read_only", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine
