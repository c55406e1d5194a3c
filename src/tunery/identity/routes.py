"""Routes of tokens and tenants."""

from __future__ import annotations

from tunery.identity import operations
from tunery.identity.schemas import TenantCreate, TenantView, TokenCreate, TokenCreated, TokenView
from tunery.platform.http import Call, Limit, Offset, route

__all__: list[str] = []


@route("tokens.create", "POST", "/tokens", permission="tokens:own", scope="self", status=201, secret=True)
def create_token(call: Call, body: TokenCreate) -> TokenCreated:
    """Make a token; its text is shown once."""
    row, token = operations.create_token(call.session, call.actor, body)
    return TokenCreated(**TokenView.model_validate(row).model_dump(), token=token)


@route("tokens.list", "GET", "/tokens", permission="tokens:own", scope="self")
def list_tokens(call: Call, limit: Limit = 50, offset: Offset = 0) -> list[TokenView]:
    """List tokens, without their secrets."""
    return call.page(operations.list_tokens(call.session, call.actor, limit, offset), TokenView.model_validate)


@route("tokens.revoke", "DELETE", "/tokens/{token_id}", permission="tokens:own", scope="self")
def revoke_token(call: Call, token_id: str) -> TokenView:
    """End a token."""
    return TokenView.model_validate(operations.revoke_token(call.session, call.actor, token_id))


@route("tenants.create", "POST", "/tenants", permission="access_control:manage", status=201, secret=True)
def create_tenant(call: Call, body: TenantCreate) -> TenantView:
    """Make a tenant with its administrator; for the operator of this installation."""
    tenant, token = operations.create_tenant(call.ground, call.actor, body)
    return TenantView(id=tenant.id, name=tenant.name, token=token)
