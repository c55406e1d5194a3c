"""Sessions that cannot see past their tenant."""

from __future__ import annotations

from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria

from tunery.errors import InternalError, StaleState
from tunery.platform.db.base import TenantOwned

__all__ = ["SystemSession", "TenantSession", "compare_and_set"]

Row = TypeVar("Row")


class TenantSession(Session):
    """A session bound to one tenant for its whole life.

    Every ORM query is filtered by the tenant; new rows get it; raw statements and bulk inserts are refused, for no
    filter reaches them. On Postgres the same is enforced once more by row-level security.
    """

    tenant_id: str

    def __init__(self, bind: sa.Engine, tenant_id: str) -> None:
        if not tenant_id:
            raise InternalError("a session cannot be opened without a tenant")
        self.tenant_id = tenant_id
        super().__init__(bind, expire_on_commit=False)


class SystemSession(Session):
    """A session that sees all tenants; made only by ``Database.system_session(reason)``."""

    def __init__(self, bind: sa.Engine, reason: str) -> None:
        self.reason = reason
        super().__init__(bind, expire_on_commit=False)


@event.listens_for(TenantSession, "do_orm_execute")
def _only_own_rows(state: ORMExecuteState) -> None:
    if not state.is_orm_statement or not (state.is_select or state.is_update or state.is_delete):
        raise InternalError("a tenant session runs only ORM selects, updates and deletes; this statement has no filter")
    session = state.session
    assert isinstance(session, TenantSession)
    tenant_id = session.tenant_id
    state.statement = state.statement.options(
        with_loader_criteria(TenantOwned, lambda table: table.tenant_id == tenant_id, include_aliases=True)
    )


@event.listens_for(TenantSession, "before_flush")
def _only_own_writes(session: TenantSession, _context: Any, _instances: Any) -> None:
    for row in session.new:
        if isinstance(row, TenantOwned) and row.tenant_id is None:
            row.tenant_id = session.tenant_id
    for row in (*session.new, *session.dirty, *session.deleted):
        if isinstance(row, TenantOwned) and row.tenant_id != session.tenant_id:
            raise InternalError("a row of another tenant was about to be written")


@event.listens_for(TenantSession, "after_begin")
def _bind_tenant(session: TenantSession, _transaction: Any, connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("select set_config('app.tenant', :tenant, true)"), {"tenant": session.tenant_id})


@event.listens_for(SystemSession, "after_begin")
def _open_all(_session: SystemSession, _transaction: Any, connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("select set_config('app.system', 'on', true)"))


def compare_and_set(session: Session, table: type[Row], row_id: str, seen: dict[str, Any], new: dict[str, Any]) -> None:
    """Move a row's state only if it is still what the caller saw.

    Args:
        session: The session of the deed's transaction.
        table: The mapped class.
        row_id: Its ``id``.
        seen: Column values that must still hold.
        new: Column values to write.

    Raises:
        StaleState: Somebody else moved it first; nothing was written.
    """
    conditions = [getattr(table, name) == value for name, value in seen.items()]
    statement = (
        sa.update(table)
        .where(table.id == row_id, *conditions)  # type: ignore[attr-defined]
        .values(**new)
        .execution_options(synchronize_session="fetch")
    )
    session.flush()
    if session.execute(statement).rowcount != 1:  # type: ignore[attr-defined]
        raise StaleState(f"{table.__name__.lower()} is no longer {', '.join(str(v) for v in seen.values())}")
