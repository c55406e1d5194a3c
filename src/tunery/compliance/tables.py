"""What people attested, and signed reports.

Both are written once in the transaction of their deed; an attestation is withdrawn, never removed. Crash: a row is
whole or absent. Erasure: reports hold counts, row ids and masked samples, and no value of a row; a document that an
attestation names stays in the store as long as the row does. All rows belong to one tenant. The sealed statement has
``schema`` and takes the fields of next year.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from tunery.platform.db import Base, Identified, TenantOwned, names_blobs
from tunery.platform.db.base import Uuid

__all__ = ["Attestation", "ComplianceReport"]


class Attestation(Identified, TenantOwned, Base):
    """A person's word on a rule, for one dataset version or for one source file wherever it went."""

    __tablename__ = "compliance_attestations"

    rule: Mapped[str] = mapped_column(sa.String(60), index=True)
    dataset_version_id: Mapped[str | None] = mapped_column(Uuid, sa.ForeignKey("dataset_versions.id"), index=True)
    dataset_reference: Mapped[str | None] = mapped_column(sa.String(200))
    source_digest: Mapped[str | None] = mapped_column(sa.String(64), index=True)
    statement: Mapped[str] = mapped_column(sa.Text)
    document_digest: Mapped[str | None] = mapped_column(sa.String(64), info=names_blobs())
    until: Mapped[datetime | None]
    created_by: Mapped[str] = mapped_column(sa.String(320))
    withdrawn_by: Mapped[str | None] = mapped_column(sa.String(320))
    withdrawn_at: Mapped[datetime | None]


class ComplianceReport(Identified, TenantOwned, Base):
    """Every outcome of one validation, sealed; the other columns repeat what is looked for."""

    __tablename__ = "compliance_reports"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "job_id"),)

    dataset_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("datasets.id"), index=True)
    dataset_version_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("dataset_versions.id"), index=True)
    dataset_reference: Mapped[str] = mapped_column(sa.String(200))
    dataset_digest: Mapped[str] = mapped_column(sa.String(64), index=True)
    results: Mapped[dict[str, Any]]
    compliant: Mapped[bool]
    attestations: Mapped[list[str]]
    envelope: Mapped[dict[str, Any]]
    job_id: Mapped[str | None] = mapped_column(Uuid)
    created_by: Mapped[str] = mapped_column(sa.String(320))
