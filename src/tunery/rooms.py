"""Import every room, so that its tables, routes, jobs and plug-ins are registered."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

__all__ = ["ROOMS", "load_rooms"]

ROOMS = (
    "platform.blobs",
    "platform.events",
    "platform.http.idempotency",
    "audit",
    "identity",
    "lineage",
    "datasets",
    "datasets.query",
    "datasets.exports",
    "registry",
    "inference",
    "training",
    "evaluation",
    "promotion",
    "serving",
    "storage",
    "storage.upkeep",
    "storage.backup",
    "subjects",
    "compliance",
    "pipelines",
    "api",
)
_PARTS = ("tables", "routes", "jobs", "sweeps", "files", "system")


def load_rooms() -> None:
    """Import tables, routes, jobs and sweeps of every room; repeating it costs nothing."""
    for room in ROOMS:
        module = import_module(f"tunery.{room}")
        for part in _PARTS:
            if hasattr(module, "__path__") and find_spec(f"{module.__name__}.{part}"):
                import_module(f"{module.__name__}.{part}")
