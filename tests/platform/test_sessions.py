"""Sessions see their own tenant and nothing else."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tunery.errors import InternalError, StaleState
from tunery.kit.actor import Actor
from tunery.platform.db import compare_and_set
from tunery.platform.events import Event, emit
from tunery.platform.ground import Ground
from tunery.platform.jobs import Job


def _emit(ground: Ground, actor: Actor) -> str:
    with ground.database.session(actor.tenant_id) as session:
        emit(session, actor, "things.happened", "thing", {"secret": actor.name})
        session.flush()
        return session.scalars(sa.select(Event.id)).one()


def test_a_tenant_sees_only_its_own_rows(ground: Ground, actor: Actor, stranger: Actor) -> None:
    own = _emit(ground, actor)
    _emit(ground, stranger)
    with ground.database.session(stranger.tenant_id, read_only=True) as session:
        assert len(session.scalars(sa.select(Event)).all()) == 1
        assert session.get(Event, own) is None


def test_a_tenant_cannot_change_or_delete_rows_of_another(ground: Ground, actor: Actor, stranger: Actor) -> None:
    own = _emit(ground, actor)
    with ground.database.session(stranger.tenant_id) as session:
        assert session.execute(sa.update(Event).values(subject="mine")).rowcount == 0
        assert session.execute(sa.delete(Event)).rowcount == 0
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        assert session.get(Event, own).subject == "thing"


def test_writing_a_row_for_another_tenant_is_refused(ground: Ground, actor: Actor, stranger: Actor) -> None:
    with pytest.raises(InternalError), ground.database.session(stranger.tenant_id) as session:
        session.add(Event(tenant_id=actor.tenant_id, name="n", subject="s", data={}))


@pytest.mark.parametrize("statement", [sa.text("select * from events"), sa.select(Event.__table__), sa.insert(Event)])
def test_a_statement_that_no_filter_reaches_is_refused(ground: Ground, actor: Actor, statement: sa.Executable) -> None:
    with pytest.raises(InternalError), ground.database.session(actor.tenant_id) as session:
        session.execute(statement)


def test_a_session_needs_a_tenant(ground: Ground) -> None:
    with pytest.raises(InternalError), ground.database.session(""):
        pass


def test_postgres_itself_hides_rows_when_the_filter_is_gone(ground: Ground, actor: Actor, stranger: Actor) -> None:
    if ground.settings.is_sqlite:
        return  # SQLite has no row-level security; the session's filter is its one wall
    _emit(ground, actor)
    with ground.database.engine.connect() as connection:
        assert connection.execute(sa.text("select count(*) from events")).scalar_one() == 0
        connection.execute(sa.text("select set_config('app.tenant', :t, true)"), {"t": stranger.tenant_id})
        assert connection.execute(sa.text("select count(*) from events")).scalar_one() == 0
        connection.execute(sa.text("select set_config('app.tenant', :t, true)"), {"t": actor.tenant_id})
        assert connection.execute(sa.text("select count(*) from events")).scalar_one() == 1


def test_a_rolled_back_deed_leaves_nothing(ground: Ground, actor: Actor) -> None:
    with pytest.raises(ZeroDivisionError), ground.database.session(actor.tenant_id) as session:
        emit(session, actor, "n", "s", {})
        session.flush()
        _ = 1 / 0
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        assert session.scalars(sa.select(Event)).all() == []


def test_a_state_that_moved_meanwhile_is_stale(ground: Ground, actor: Actor) -> None:
    with ground.database.session(actor.tenant_id) as session:
        session.add(Job(kind="k", payload={}))
        session.flush()
        row = session.scalars(sa.select(Job)).one()
        compare_and_set(session, Job, row.id, {"status": "queued"}, {"status": "cancelled"})
        assert row.status == "cancelled"
        with pytest.raises(StaleState):
            compare_and_set(session, Job, row.id, {"status": "queued"}, {"status": "running"})
