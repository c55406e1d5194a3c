"""Tenants: houses of their own under one roof."""

from __future__ import annotations

from tunery.client.nouns import Noun, view
from tunery.client.transport import path_of
from tunery.identity.schemas import TenantCreate, TenantView

__all__ = ["Tenants"]


class Tenants(Noun):
    """Tenants of this installation; for its operator."""

    def create(self, name: str, admin_email: str) -> TenantView:
        """Make a tenant with its administrator, whose token is in the answer this once."""
        wish = TenantCreate(name=name, admin_email=admin_email)
        # No idempotency key: the server keeps the answers of keyed calls, and this one holds a secret.
        return view(TenantView, self._send("POST", path_of("tenants"), wish, keyed=False))
