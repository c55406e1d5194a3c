"""Shapes of tokens and tenants."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from tunery.platform.http import Camel

__all__ = ["TenantCreate", "TenantView", "TokenCreate", "TokenCreated", "TokenView"]


class TokenCreate(Camel):
    """A wish for a token."""

    name: str = Field(min_length=1, max_length=100, description="What the token is for, such as `ci`.")
    email: str | None = Field(None, max_length=320, description="Whose token; made a member if new. Default: your own.")
    roles: list[str] = Field(default_factory=lambda: ["viewer"], description="Roles of the token.")
    expires_in_days: int | None = Field(None, ge=1, le=3650, description="Days until it ends; none means never.")


class TokenView(Camel):
    """A token without its secret."""

    id: str
    key_id: str = Field(description="Public part; it stands in the token itself.")
    name: str
    roles: list[str]
    expires_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime


class TokenCreated(TokenView):
    """A fresh token; its text is shown this once."""

    token: str = Field(description="The token. Keep it now: it cannot be shown again.")


class TenantCreate(Camel):
    """A wish for a tenant."""

    name: str = Field(description="Name of the tenant; it stands in full model names.")
    admin_email: str = Field(max_length=320, description="Who administers it.")


class TenantView(Camel):
    """A fresh tenant with the first token of its administrator."""

    id: str
    name: str
    token: str = Field(description="The administrator's token. Keep it now: it cannot be shown again.")
