"""One moment of the database, as files; and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError

from tunery.errors import IntegrityError, Refused, SchemaNewer
from tunery.platform.blobs.tables import Pack
from tunery.platform.db import Database
from tunery.platform.db.engine import make_engine, sqlite_module
from tunery.platform.db.migrate import alembic_config, migrate_database, schema_state
from tunery.storage.backup.schemas import BackupManifest, BackupPack

__all__ = ["SQLITE_FILE", "Dump", "dump_database", "end_load", "is_loading", "load_postgres", "refuse_full_database"]

SQLITE_FILE = "database/tunery.sqlite"
_OF_A_FIRST_START = {
    "alembic_version": 1,
    "tenants": 1,
    "users": 1,
    "memberships": 1,
    "api_tokens": 1,
}
"""How many rows a first start writes; into other tables none, but for what is said in ``_NOT_COUNTED``."""
_NOT_COUNTED = {
    "audit_entries": "action in ('token_created', 'backup_started', 'backup_created')",
    "jobs": "kind = 'backup.create'",
    "job_events": "true",
}
"""Rows that tell of the first token, and of backups, the first of which is due at once."""
_VERSIONS = "alembic_version"
_LOADING = "restoring"
"""A table with the backup's id, made with the loaded rows and dropped once they are in order."""


@dataclass(frozen=True)
class Dump:
    """What the database held at one moment.

    Attributes:
        kind: sqlite or postgresql.
        revision: Its schema.
        files: By their names in the backup.
        packs: The packs that it names and that are not doomed.
        tables: Columns of each table, in the order of its file; empty for SQLite, whose file says so itself.
    """

    kind: str
    revision: str
    files: dict[str, Path]
    packs: list[BackupPack]
    tables: dict[str, list[str]] = field(default_factory=dict)


def dump_database(database: Database, folder: Path) -> Dump:
    """Write one consistent moment of the database into files; writers go on meanwhile.

    SQLite is copied by its online backup, in one step. Postgres is copied table by table in one REPEATABLE READ
    transaction: what ``pg_dump`` does, without needing that program beside the application.

    Raises:
        IntegrityError: The database is damaged; what was backed up before stays.
    """
    revision = schema_state(database.engine)[0] or ""
    if database.engine.dialect.name == "sqlite":
        return _dump_sqlite(database, folder, revision)
    return _dump_postgres(database, folder, revision)


def load_postgres(url: str, app_role: str | None, manifest: BackupManifest, read: Any) -> None:
    """Load a dump into an empty Postgres database, in one transaction, and bring it to the newest schema.

    What an interrupted load of the same backup left is dropped first. ``end_load`` says that the rows are in order.

    Args:
        url: URL of the role that owns the schema.
        app_role: The application's role, to be granted its rights.
        manifest: The backup: its tables with their columns, and the schema of the dump.
        read: From a table to the pieces of its file.

    Raises:
        SchemaNewer: A newer Tunery wrote it. Refused: The database has another schema already.
    """
    tables, revision = manifest.tables, manifest.revision
    engine = make_engine(url)
    try:
        _drop_unfinished(engine)
        _make_schema(engine, revision)
        with engine.begin() as connection:
            connection.execute(sa.text("select set_config('app.system', 'on', true)"))
            inspector = sa.inspect(connection)
            order = [name for name, _ in inspector.get_sorted_table_and_fkc_names() if name and name != _VERSIONS]
            if missing := sorted(tables.keys() - {*order, _VERSIONS}):
                raise IntegrityError(f"the dump has tables that its schema {revision} does not know: {missing}")
            quoted = ", ".join(f'"{name}"' for name in order)
            connection.execute(sa.text(f"truncate {quoted}"))
            for name in (name for name in order if name in tables):
                connection.execute(sa.text(f'alter table "{name}" no force row level security'))
                _copy_in(connection, name, tables[name], read(name))
            _advance_sequences(connection, order)
            connection.execute(sa.text(f"create table {_LOADING} (backup_id text)"))
            connection.execute(sa.text(f"insert into {_LOADING} values (:id)"), {"id": manifest.id})
    finally:
        engine.dispose()
    migrate_database(url, app_role)


def end_load(url: str) -> None:
    """Say that a loaded Postgres database is in order; before that, a restore that is repeated begins anew."""
    engine = make_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(sa.text(f"drop table {_LOADING}"))
    finally:
        engine.dispose()


def is_loading(connection: sa.Connection) -> bool:
    """Tell whether the database holds rows of a load that was broken off before they were in order."""
    return _LOADING in sa.inspect(connection).get_table_names()


def refuse_full_database(engine: sa.Engine, backup_id: str) -> None:
    """Raise Refused where the database holds more than a first start, or a broken-off load of the backup, writes."""
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("select set_config('app.system', 'on', true)"))
        if is_loading(connection):
            begun = connection.scalar(sa.text(f"select backup_id from {_LOADING}"))
            if begun == backup_id:
                return
            raise Refused(
                f"the database holds half of backup {begun}: repeat the restore of that one, or empty the database. "
                f"Nothing was changed"
            )
        for name in sa.inspect(connection).get_table_names():
            rows = f'select count(*) from "{name}" where not ({_NOT_COUNTED.get(name, "false")})'
            if (connection.scalar(sa.text(rows)) or 0) > _OF_A_FIRST_START.get(name, 0):
                raise Refused(
                    f"the database is not empty (there are rows in {name}); restore into a home and a database of "
                    f"their own. Nothing was changed"
                )


def _dump_sqlite(database: Database, folder: Path, revision: str) -> Dump:
    path = folder / "tunery.sqlite"
    copy = sqlite_module().connect(str(path))
    try:
        with database.engine.connect() as connection:
            connection.connection.driver_connection.backup(copy)  # type: ignore[union-attr]
        copy.execute("PRAGMA journal_mode=DELETE")
        (found,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise IntegrityError(f"the database is damaged ({found}); this was no backup, restore the last good one")
    except sqlite_module().DatabaseError as error:
        raise IntegrityError(f"the database is damaged ({error}); restore the last good backup") from error
    finally:
        copy.close()
    engine = make_engine(f"sqlite:///{path}")
    try:
        with engine.execution_options(tunery_read_only=True).connect() as connection:
            packs = _packs(connection)
            connection.rollback()
            connection.connection.driver_connection.execute("PRAGMA journal_mode=DELETE")  # type: ignore[union-attr]
    finally:
        engine.dispose()
    return Dump("sqlite", revision, {SQLITE_FILE: path}, packs)


def _dump_postgres(database: Database, folder: Path, revision: str) -> Dump:
    files: dict[str, Path] = {}
    tables: dict[str, list[str]] = {}
    with database.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        connection.execute(sa.text("select set_config('app.system', 'on', true)"))
        inspector = sa.inspect(connection)
        for name in sorted(inspector.get_table_names()):
            tables[name] = [column["name"] for column in inspector.get_columns(name)]
            files[f"database/{name}"] = path = folder / name
            with path.open("wb") as file, _cursor(connection) as cursor:
                columns = ", ".join(f'"{column}"' for column in tables[name])
                with cursor.copy(f'copy "{name}" ({columns}) to stdout') as rows:
                    for piece in rows:
                        file.write(piece)
        packs = _packs(connection)
    return Dump("postgresql", revision, files, packs, tables)


def _packs(connection: sa.Connection) -> list[BackupPack]:
    """The packs of every tenant, in the snapshot of this connection; Core, for no tenant's session sees them all."""
    table = Pack.__table__
    columns = [table.c.id, table.c.tenant_id, table.c.size_bytes, table.c.checksum]
    rows = connection.execute(sa.select(*columns).where(table.c.doomed_at.is_(None)).order_by(table.c.id))
    return [BackupPack.model_validate(row._asdict()) for row in rows]


def _drop_unfinished(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        for name in sa.inspect(connection).get_table_names() if is_loading(connection) else ():
            connection.execute(sa.text(f'drop table "{name}" cascade'))


def _make_schema(engine: sa.Engine, revision: str) -> None:
    current, _ = schema_state(engine)
    if current not in (None, revision):
        raise Refused(f"the database has schema {current} and the backup {revision}; restore into an empty database")
    with engine.begin() as connection:
        try:
            command.upgrade(alembic_config(connection), revision)
        except CommandError as error:
            raise SchemaNewer(
                f"this Tunery does not know the backup's schema {revision}; install a newer one"
            ) from error


def _copy_in(connection: sa.Connection, name: str, columns: list[str], pieces: Iterator[bytes]) -> None:
    quoted = ", ".join(f'"{column}"' for column in columns)
    with _cursor(connection) as cursor, cursor.copy(f'copy "{name}" ({quoted}) from stdin') as rows:
        for piece in pieces:
            rows.write(piece)


def _advance_sequences(connection: sa.Connection, tables: list[str]) -> None:
    """Rows were loaded with their numbers; the next one made must not meet them."""
    for name in tables:
        for column in sa.inspect(connection).get_columns(name):
            if not isinstance(column["type"], sa.Integer) or column.get("default") is None:
                continue
            sequence = connection.scalar(
                sa.text("select pg_get_serial_sequence(:table, :column)"),
                {"table": f'"{name}"', "column": column["name"]},
            )
            if sequence:
                connection.execute(
                    sa.text(
                        f'select setval(:sequence, coalesce((select max("{column["name"]}") from "{name}"), 0) + 1)'
                    ),
                    {"sequence": sequence},
                )


def _cursor(connection: sa.Connection) -> Any:
    return connection.connection.driver_connection.cursor()  # type: ignore[union-attr]
