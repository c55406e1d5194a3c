"""Tokens: who may call."""

from __future__ import annotations

from collections.abc import Sequence

from tunery.client.nouns import Noun, Page, view
from tunery.client.transport import path_of
from tunery.identity.schemas import TokenCreate, TokenCreated, TokenView

__all__ = ["Tokens"]


class Tokens(Noun):
    """API tokens of the tenant."""

    def create(
        self,
        name: str,
        *,
        roles: Sequence[str] = ("viewer",),
        email: str | None = None,
        expires_in_days: int | None = None,
    ) -> TokenCreated:
        """Make a token; its text is in the answer this once."""
        wish = TokenCreate(name=name, roles=[*roles], email=email, expires_in_days=expires_in_days)
        # No idempotency key: the server keeps the answers of keyed calls, and this one holds a secret.
        return view(TokenCreated, self._send("POST", path_of("tokens"), wish, keyed=False))

    def list(self, *, limit: int = 50, offset: int = 0) -> Page[TokenView]:
        """List tokens, newest first, without their secrets."""
        return self._page(TokenView, path_of("tokens"), limit=limit, offset=offset)

    def revoke(self, token_id: str) -> TokenView:
        """End a token, named by its id or its public part."""
        return view(TokenView, self._send("DELETE", path_of("tokens", token_id)))
