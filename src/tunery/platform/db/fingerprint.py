"""The fingerprint of the migrations that made a database: it tells a schema that was never released from its namesake.

It lies where no table is needed and every backup keeps it: in SQLite's ``user_version``, in the comment on Postgres's
``alembic_version``. A migration that was released never changes again, so neither does its fingerprint.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import sqlalchemy as sa
from alembic.script import ScriptDirectory

__all__ = ["fingerprint_of", "read_fingerprint", "write_fingerprint"]


def fingerprint_of(scripts: ScriptDirectory, revision: str) -> int:
    """Return 31 bits over what the migrations up to a revision do; layout and docstrings do not count."""
    digest = sha256()
    for script in scripts.iterate_revisions(revision, "base"):
        deeds = Path(script.path).read_text(encoding="utf-8").partition("def upgrade")[2].partition("def downgrade")[0]
        digest.update("".join(deeds.split()).encode())
    return int.from_bytes(digest.digest()[:4]) >> 1


def read_fingerprint(connection: sa.Connection) -> int:
    """Return the fingerprint that a database carries; 0 where it carries none."""
    if connection.dialect.name == "sqlite":
        return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
    comment = connection.scalar(sa.text("select obj_description(to_regclass('alembic_version'), 'pg_class')"))
    return int(comment) if comment and comment.isdigit() else 0


def write_fingerprint(connection: sa.Connection, fingerprint: int) -> None:
    """Write it, in the transaction of the migration."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA user_version = {fingerprint}")
    else:
        connection.execute(sa.text(f"comment on table alembic_version is '{fingerprint}'"))
