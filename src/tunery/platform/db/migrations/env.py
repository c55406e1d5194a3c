"""Alembic's environment: the connection comes from ``tunery.platform.db.migrate``, which owns the transaction."""

from __future__ import annotations

from alembic import context

from tunery.platform.db.base import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
