"""Bring a database to the newest schema, in one transaction, one process at a time.

A crash in the middle leaves the old schema: SQLite and Postgres both roll DDL back. Two processes at once: the second
waits for the lock and finds nothing to do. A database that a newer Tunery wrote, or whose schema was never released, is
refused and not touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from tunery.errors import IntegrityError, SchemaNewer, SchemaUnreleased
from tunery.platform.db.engine import make_engine
from tunery.platform.db.fingerprint import fingerprint_of, read_fingerprint
from tunery.platform.db.policies import secure_tables
from tunery.settings import Settings

__all__ = ["alembic_config", "migrate", "migrate_database", "owner_of", "schema_state"]

_LOCK = 7_305_118_001
"""Key of the Postgres advisory lock that migrations hold; any fixed number does."""


def migrate(settings: Settings) -> None:
    """Bring the database of the settings to the newest schema.

    Raises:
        SchemaNewer: A newer Tunery wrote it. SchemaUnreleased: a development version did.
    """
    settings.folder()
    migrate_database(*owner_of(settings))


def owner_of(settings: Settings) -> tuple[str, str | None]:
    """Return the URL of the role that owns the schema, and the application's role where that is another."""
    url = settings.database_admin_url or settings.effective_database_url
    app_role = sa.make_url(settings.effective_database_url).username
    return url, app_role if app_role != sa.make_url(url).username else None


def migrate_database(url: str, app_role: str | None) -> None:
    """Bring one database to the newest schema and, on Postgres, to its policies and grants.

    Args:
        url: URL of the role that owns the schema.
        app_role: The application's role on Postgres, to be granted its rights; None where it is the owner.
    """
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            else:
                _suspend_foreign_keys(connection)
            with _in_one_transaction(connection):
                current, head = _revisions(connection)
                if current != head:
                    command.upgrade(alembic_config(connection), "head")
                if connection.dialect.name == "postgresql":
                    secure_tables(connection, app_role)
    finally:
        engine.dispose()


def schema_state(engine: sa.Engine) -> tuple[str | None, str]:
    """Return the database's revision and the newest one. Raises: SchemaNewer, SchemaUnreleased."""
    with engine.connect() as connection:
        return _revisions(connection)


def alembic_config(connection: sa.Connection) -> Config:
    """Return Alembic's configuration on a connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _suspend_foreign_keys(connection: sa.Connection) -> None:
    """Keep SQLite from deleting children when a migration rebuilds their parent's table; checked before the commit."""
    cursor = connection.connection.cursor()
    cursor.execute("PRAGMA foreign_keys=OFF")
    cursor.close()


@contextmanager
def _in_one_transaction(connection: sa.Connection) -> Iterator[None]:
    """Commit at the end; on SQLite foreign keys are checked then, for batch migrations rebuild tables."""
    try:
        if not connection.in_transaction():
            connection.begin()
        yield
        if connection.dialect.name == "sqlite" and (
            broken := connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        ):
            raise IntegrityError(f"the migration would leave {len(broken)} rows without what they refer to")
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _revisions(connection: sa.Connection) -> tuple[str | None, str]:
    scripts = ScriptDirectory.from_config(alembic_config(connection))
    head = scripts.get_current_head() or ""
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise SchemaNewer(
            f"the database has schema {current}, which this Tunery does not know (its newest is {head}); "
            f"nothing was touched. Install the Tunery that wrote it, or a later one"
        )
    if current is not None and read_fingerprint(connection) != fingerprint_of(scripts, current):
        where = connection.engine.url.database or connection.engine.url
        raise SchemaUnreleased(
            f"the database {where} was made by a development version of Tunery, whose schema {current} was never "
            f"released; its data is not carried over and nothing was touched. Go on with the Tunery that wrote it, or "
            f"begin anew: move the home folder away or set TUNERY_HOME to a new one; on Postgres, name an empty "
            f"database"
        )
    return current, head
