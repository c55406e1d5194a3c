"""Gates and verdicts.

Both are written once and never changed: a gate of another meaning gets another name, a later verdict is a later row.
A crash leaves a verdict whole or absent. A verdict repeats what it judged (criteria, digests, numbers), so it can be
read when gate, evaluation or version are gone. Erasure: rows go with their tenant. All rows belong to one tenant.
Criteria and findings are JSON that takes next year's fields.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from tunery.platform.db import Base, Identified, TenantOwned
from tunery.platform.db.base import Uuid

__all__ = ["Gate", "Verdict"]


class Gate(Identified, TenantOwned, Base):
    """Named criteria."""

    __tablename__ = "gates"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "name"),)

    name: Mapped[str] = mapped_column(sa.String(96))
    description: Mapped[str] = mapped_column(sa.Text, default="")
    criteria: Mapped[list[Any]]
    created_by: Mapped[str] = mapped_column(sa.String(320))


class Verdict(Identified, TenantOwned, Base):
    """What a gate decided on a version, with the evidence it saw.

    ``evaluations`` names the evaluation of the version (``candidate``) and of each baseline, each with its id and the
    digest of its predictions.
    """

    __tablename__ = "verdicts"
    __table_args__ = (sa.Index("ix_verdicts_version", "tenant_id", "model_version_id", "gate_name"),)

    gate_id: Mapped[str | None] = mapped_column(Uuid, sa.ForeignKey("gates.id", ondelete="SET NULL"))
    gate_name: Mapped[str] = mapped_column(sa.String(96))
    criteria: Mapped[list[Any]]
    model_version_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("model_versions.id"))
    model_reference: Mapped[str] = mapped_column(sa.String(200))
    manifest_digest: Mapped[str] = mapped_column(sa.String(64))
    passed: Mapped[bool]
    findings: Mapped[list[Any]]
    evaluations: Mapped[dict[str, Any]]
    created_by: Mapped[str] = mapped_column(sa.String(320))
