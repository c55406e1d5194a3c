"""Row-level security on Postgres: the second wall behind the tenant-bound session."""

from __future__ import annotations

import re

import sqlalchemy as sa

from tunery.errors import InvalidInput

__all__ = ["secure_tables"]

_OWN = "tenant_id = nullif(current_setting('app.tenant', true), '')::uuid"
_SYSTEM = "current_setting('app.system', true) = 'on'"


def secure_tables(connection: sa.Connection, app_role: str | None) -> None:
    """Enable and force a tenant policy on every table with a ``tenant_id``, and grant the application's role.

    Repeating it is harmless. Without a tenant set, a policy shows no row at all.

    Args:
        connection: A connection of the schema's owner, inside a transaction.
        app_role: The role the application connects as; None where it is the owner itself.
    """
    inspector = sa.inspect(connection)
    for table in inspector.get_table_names():
        if "tenant_id" not in {column["name"] for column in inspector.get_columns(table)}:
            continue
        connection.execute(sa.text(f'alter table "{table}" enable row level security'))
        connection.execute(sa.text(f'alter table "{table}" force row level security'))
        connection.execute(sa.text(f'drop policy if exists tenant_rows on "{table}"'))
        connection.execute(
            sa.text(
                f'create policy tenant_rows on "{table}" using ({_OWN} or {_SYSTEM}) with check ({_OWN} or {_SYSTEM})'
            )
        )
    if app_role is None:
        return
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_$-]{0,62}", app_role):
        raise InvalidInput(f"{app_role!r} is no role name")
    for statement in (
        f'grant usage on schema public to "{app_role}"',
        f'grant select, insert, update, delete on all tables in schema public to "{app_role}"',
        f'grant usage, select on all sequences in schema public to "{app_role}"',
    ):
        connection.execute(sa.text(statement))
