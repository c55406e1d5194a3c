"""What rooms above know of a version that the registry shows: they say so here, and the registry need not know them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tunery.platform.db import TenantSession
from tunery.plugins import Registry
from tunery.registry.tables import ModelVersion

__all__ = ["VERSION_FACTS", "facts_of"]

VERSION_FACTS: Registry[Callable[[TenantSession, ModelVersion], Mapping[str, Any]]] = Registry("version_facts")
"""Who knows more of a version, by any of ``compliance_flags`` and ``certifications`` (R1)."""


def facts_of(session: TenantSession, version: ModelVersion) -> dict[str, Any]:
    """Return what the rooms above know of a version."""
    return {name: fact for _, facts in VERSION_FACTS for name, fact in facts(session, version).items()}
