"""Audit entries (R2: timestamp, user, action, resource, environment, source_ip, user_agent).

Written with the deed: on a crash both are there or neither. Never changed. Erasure: an entry names a person only by the
user's name and address, which retention removes. Tenants see their own alone. New fields go into ``details``.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from tunery.platform.db import Base, Identified, TenantOwned
from tunery.platform.db.base import Uuid

__all__ = ["AuditEntry"]


class AuditEntry(Identified, TenantOwned, Base):
    """One deed, or one that was denied."""

    __tablename__ = "audit_entries"

    user_id: Mapped[str | None] = mapped_column(Uuid)
    user: Mapped[str] = mapped_column(sa.String(320))
    action: Mapped[str] = mapped_column(sa.String(100), index=True)
    resource: Mapped[str] = mapped_column(sa.String(400), index=True)
    outcome: Mapped[str] = mapped_column(sa.String(20), default="done")
    environment: Mapped[str | None] = mapped_column(sa.String(50))
    source_ip: Mapped[str] = mapped_column(sa.String(64), default="")
    user_agent: Mapped[str] = mapped_column(sa.String(300), default="")
    details: Mapped[dict[str, Any]]
