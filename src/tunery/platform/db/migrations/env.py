"""Alembic's environment: the connection comes from ``tunery.platform.db.migrate``, which owns the transaction."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from alembic.runtime.migration import MigrationContext

from tunery.platform.db.base import Base, Json
from tunery.platform.db.fingerprint import fingerprint_of, write_fingerprint


def _render(kind: str, thing: Any, _context: Any) -> str | Literal[False]:
    """Name our own JSON type in migrations as one thing rather than as its two dialects."""
    return "base.Json" if kind == "type" and thing is Json else False


context.configure(
    render_item=_render,
    user_module_prefix="base.",
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
    connection = context.get_bind()
    if (revision := MigrationContext.configure(connection).get_current_revision()) is not None:
        write_fingerprint(connection, fingerprint_of(context.script, revision))
