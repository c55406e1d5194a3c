"""What compliance is told of erasures."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from tunery.compliance.facts import ERASURES
from tunery.datasets.tables import DatasetVersion
from tunery.platform.db import TenantSession
from tunery.subjects.tables import Erasure

__all__ = ["erasures_of"]


@ERASURES.register("subjects")
def erasures_of(session: TenantSession, version: DatasetVersion) -> list[dict[str, Any]]:
    """Return the erasures that reached a version's dataset, and how far each came."""
    reached = f"{version.dataset.name}:"
    return [
        {"erasure": row.id, "status": row.status, "certificate": row.certificate_digest}
        for row in session.scalars(sa.select(Erasure).order_by(Erasure.id))
        if any(one["version"].startswith(reached) for one in row.reached.get("versions", []))
    ]
