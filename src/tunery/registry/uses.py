"""Who needs a version: rooms above say so here, and the registry need not know them."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from tunery.platform.db import TenantSession
from tunery.plugins import Registry
from tunery.registry.tables import GONE, ModelVersion

__all__ = ["MOST_NAMED", "VERSION_USES", "uses_of"]

Use = Callable[[TenantSession, ModelVersion], list[str]]

VERSION_USES: Registry[Use] = Registry("version_use")
"""By the word for a user of versions, such as ``deployment``: returns the names or ids of those that need a version."""

MOST_NAMED = 10


def uses_of(session: TenantSession, version: ModelVersion) -> list[str]:
    """Return what needs a version, such as ``deployment chat``."""
    return [f"{word} {name}" for word, names_of in VERSION_USES for name in names_of(session, version)]


@VERSION_USES.register("version")
def _standing_on(session: TenantSession, version: ModelVersion) -> list[str]:
    statement = sa.select(ModelVersion).where(
        ModelVersion.base_version_id == version.id, ModelVersion.status.not_in(GONE)
    )
    return [row.reference for row in session.scalars(statement.order_by(ModelVersion.id).limit(MOST_NAMED))]
