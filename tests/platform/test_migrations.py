"""Migrations: whole or not at all, by one process at a time, and never backwards."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from tests.fixtures import Cluster
from tunery.errors import SchemaNewer, SchemaUnreleased
from tunery.platform.db import Base
from tunery.platform.db.engine import make_engine
from tunery.platform.db.fingerprint import read_fingerprint, write_fingerprint
from tunery.platform.db.migrate import migrate_database, schema_state
from tunery.rooms import load_rooms


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, as its owner."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'data.sqlite'}"
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    name = f"m{uuid.uuid4().hex[:12]}"
    engine = sa.create_engine(cluster.admin.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"create database {name}"))
    yield cluster.admin.set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(sa.text(f"drop database {name} with (force)"))
    engine.dispose()


def _tables(url: str) -> set[str]:
    engine = make_engine(url)
    names = set(sa.inspect(engine).get_table_names())
    engine.dispose()
    return names


def _migrate(url: str, fatal: int) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, "-m", "tests.platform.migration_script", url, str(fatal)]
    return subprocess.run(script, capture_output=True, text=True, timeout=120, check=False)


def test_migrations_lead_to_exactly_the_tables_of_the_code(empty_url: str) -> None:
    load_rooms()
    migrate_database(empty_url, None)
    engine = make_engine(empty_url)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    engine.dispose()
    assert differences == []
    assert len(Base.metadata.tables) >= 25


def test_a_crash_at_any_statement_leaves_the_old_schema_and_the_next_start_finishes(empty_url: str) -> None:
    total = 0
    for fatal in (1, 10, 75, 10_000):
        done = _migrate(empty_url, fatal)
        if done.returncode == 0:
            total = int(done.stdout)
            break
        assert done.returncode == -9, done.stderr
        assert _tables(empty_url) <= {"alembic_version"}
    assert total > 50
    assert "jobs" in _tables(empty_url)


def test_two_processes_at_once_migrate_once(empty_url: str) -> None:
    script = [sys.executable, "-m", "tests.platform.migration_script", empty_url, "100000"]
    both = [subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    engine = make_engine(empty_url)
    current, head = schema_state(engine)
    engine.dispose()
    assert current == head


def test_a_database_of_a_newer_tunery_is_refused_and_not_touched(empty_url: str) -> None:
    migrate_database(empty_url, None)
    engine = make_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(sa.text("update alembic_version set version_num = 'from-the-future'"))
    engine.dispose()
    before = _state(empty_url)
    with pytest.raises(SchemaNewer, match="from-the-future"):
        migrate_database(empty_url, None)
    assert _state(empty_url) == before


def test_a_database_of_a_development_version_is_refused_and_not_touched(empty_url: str) -> None:
    migrate_database(empty_url, None)
    migrate_database(empty_url, None)  # a second start finds its own fingerprint
    for other in (0, 42):  # of before there were fingerprints, and of a first migration that was rewritten since
        engine = make_engine(empty_url)
        with engine.begin() as connection:
            assert read_fingerprint(connection) != other
            write_fingerprint(connection, other)
        engine.dispose()
        before = _state(empty_url)
        with pytest.raises(SchemaUnreleased, match=r"development version.*not carried over.*begin anew"):
            migrate_database(empty_url, None)
        assert _state(empty_url) == before


def test_every_table_of_a_tenant_has_a_forced_policy_on_postgres(postgres: Cluster) -> None:
    url = postgres.admin.set(database=postgres.template, drivername="postgresql+psycopg")
    engine = sa.create_engine(url)
    query = """
        select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
        where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
          and not (c.relrowsecurity and c.relforcerowsecurity
                   and exists (select 1 from pg_policy p where p.polrelid = c.oid))
    """
    with engine.connect() as connection:
        assert connection.execute(sa.text(query)).all() == []
    engine.dispose()


def _state(url: str) -> str:
    """A digest of everything in the database."""
    engine = make_engine(url)
    metadata = sa.MetaData()
    metadata.reflect(engine)
    with engine.connect() as connection:
        rows = [(t.name, sorted(map(str, connection.execute(t.select())))) for t in metadata.sorted_tables]
    engine.dispose()
    return hashlib.sha256(repr(rows).encode()).hexdigest()
