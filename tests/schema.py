"""Bring a test database to the newest schema."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from tunery.platform.db import Base
from tunery.platform.db.engine import make_engine
from tunery.platform.db.policies import secure_tables
from tunery.platform.jobs.queue_database import migrate_queue


def make_schema(url: str, app_role: str | None) -> None:
    """Create every table, and on Postgres its policies and grants."""
    for room in (
        "identity",
        "audit",
        "lineage",
        "registry",
        "datasets",
        "training",
        "evaluation",
        "promotion",
        "serving",
        "pipelines",
    ):
        if find_spec(f"tunery.{room}") and find_spec(f"tunery.{room}.tables"):
            import_module(f"tunery.{room}.tables")
    for module in ("tunery.platform.events", "tunery.platform.http.idempotency"):
        import_module(module)
    engine = make_engine(url)
    Base.metadata.create_all(engine)
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            secure_tables(connection, app_role)
        migrate_queue(url, app_role)
    engine.dispose()
