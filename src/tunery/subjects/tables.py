"""Erasures, each with what it reached.

An erasure is decided in one transaction (successors of versions, the list of the forgotten, models on hold), then the
old bytes are destroyed, then the certificate is signed; ``status`` says how far it came, and its job goes on there
after a crash. ``doomed`` are the digests that are to be destroyed. No row names the person: it holds counts and ids.
Rows of one tenant are seen by no other. ``reached`` is JSON that takes next year's fields.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from tunery.platform.db import Base, Identified, TenantOwned, names_blobs

__all__ = ["Erasure"]


class Erasure(Identified, TenantOwned, Base):
    """One person's rows, erased: ``decided``, ``destroyed``, then ``certified``."""

    __tablename__ = "erasures"

    status: Mapped[str] = mapped_column(sa.String(20), default="decided")
    reason: Mapped[str] = mapped_column(sa.Text, default="")
    reached: Mapped[dict[str, Any]]
    doomed: Mapped[list[Any]] = mapped_column(default=list)
    certificate_digest: Mapped[str | None] = mapped_column(sa.String(64), info=names_blobs())
    created_by: Mapped[str] = mapped_column(sa.String(320))
    certified_at: Mapped[datetime | None]
