"""Tenants, users, memberships and API tokens.

Tenants and users stand above tenancy, so only ``system_session`` reads them; memberships and tokens belong to a tenant.
A token's secret is never kept, only its SHA-256 (256 random bits need no slow hash). Revoking sets a time; rows
stay for the audit. Erasing a user blanks name and address and keeps the id.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from tunery.platform.db import Base, Identified, TenantOwned
from tunery.platform.db.base import Uuid

__all__ = ["ApiToken", "Membership", "Tenant", "User"]


class Tenant(Identified, Base):
    """A team whose things no other tenant sees. The operator tenant, made first, may make others."""

    __tablename__ = "tenants"

    name: Mapped[str] = mapped_column(sa.String(96), unique=True)
    is_operator: Mapped[bool] = mapped_column(default=False)


class User(Identified, Base):
    """A person or a machine account, known by an e-mail address."""

    __tablename__ = "users"

    email: Mapped[str] = mapped_column(sa.String(320), unique=True)


class Membership(Identified, TenantOwned, Base):
    """The roles of a user in a tenant."""

    __tablename__ = "memberships"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "user_id"),)

    user_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("users.id"), index=True)
    roles: Mapped[list[str]]


class ApiToken(Identified, TenantOwned, Base):
    """A credential of a membership. ``key_id`` is its public part; of the secret only the hash is kept."""

    __tablename__ = "api_tokens"

    key_id: Mapped[str] = mapped_column(sa.String(24), unique=True)
    secret_hash: Mapped[str] = mapped_column(sa.String(64))
    name: Mapped[str] = mapped_column(sa.String(100))
    user_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("users.id"))
    roles: Mapped[list[str]]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
