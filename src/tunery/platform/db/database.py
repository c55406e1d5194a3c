"""The database as the rest of the house sees it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DataError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.orm import Session

from tunery.errors import Conflict, Exhausted, InvalidInput, Refused, TuneryError, Unavailable
from tunery.platform.db.engine import make_engine
from tunery.platform.db.session import SystemSession, TenantSession

__all__ = ["Database"]

SomeSession = TypeVar("SomeSession", bound=Session)
log = structlog.get_logger(__name__)


class Database:
    """One database. ``session(tenant)`` is the way in; it commits when the block ends well and rolls back otherwise."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = make_engine(url)
        self._reading = self.engine.execution_options(tunery_read_only=True)

    @contextmanager
    def session(self, tenant_id: str, *, read_only: bool = False) -> Iterator[TenantSession]:
        """Open a session of one tenant: one transaction, committed at the end of the block."""
        with TenantSession(self._reading if read_only else self.engine, tenant_id) as session:
            yield from self._transaction(session)

    @contextmanager
    def system_session(self, reason: str, *, read_only: bool = False) -> Iterator[Session]:
        """Open a session that sees all tenants. The reason is logged; a test keeps the list of callers short."""
        log.debug("system session", reason=reason)
        with SystemSession(self._reading if read_only else self.engine, reason) as session:
            yield from self._transaction(session)

    def check(self) -> None:
        """Ask the database for an answer. Raises: Unavailable: it gives none; Refused: its role passes every policy."""
        try:
            with self._reading.connect() as connection:
                connection.execute(sa.text("select 1"))
                if self.engine.dialect.name == "postgresql":
                    _refuse_superuser(connection)
        except OperationalError as error:
            raise Unavailable(f"the database does not answer: {error.orig}") from error

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def _transaction(self, session: SomeSession) -> Iterator[SomeSession]:
        try:
            yield session
            session.commit()
        except DBAPIError as error:
            session.rollback()
            raise _translated(error) from error
        except PoolExhausted as error:
            session.rollback()
            raise Unavailable("the database is busy; nothing of this deed was kept, try again in a moment") from error
        except BaseException:
            session.rollback()
            raise


def _refuse_superuser(connection: sa.Connection) -> None:
    role = connection.execute(
        sa.text("select rolname, rolsuper or rolbypassrls from pg_roles where rolname = current_user")
    ).one()
    if role[1]:
        raise Refused(
            f"the database role {role[0]!r} passes every row-level policy; connect as an ordinary role "
            f"(TUNERY_DATABASE_URL) and keep the owner for migrations (TUNERY_DATABASE_ADMIN_URL)"
        )


def _translated(error: DBAPIError) -> TuneryError | DBAPIError:
    text = str(error.orig).lower()
    if isinstance(error, sa.exc.IntegrityError):
        return Conflict("somebody else wrote the same at the same moment; nothing of this deed was kept, look again")
    if isinstance(error, DataError):
        log.warning("a value did not fit its column", reason=text)
        return InvalidInput("a value is too long or too large to be kept; nothing of this deed was kept")
    if "disk is full" in text or "no space left" in text or "disk full" in text:
        return Exhausted("the disk that holds the database is full; nothing of this deed was kept")
    if "disk i/o error" in text or "unable to open database file" in text:
        return Unavailable("the disk of the database failed; nothing of this deed was kept, look at the disk")
    unconnected = error.statement is None or error.connection_invalidated
    if isinstance(error, OperationalError) and (unconnected or "lock" in text):
        return Unavailable("the database is busy or away; nothing of this deed was kept, try again in a moment")
    return error
