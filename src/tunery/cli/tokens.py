"""``tunery tokens``."""

from __future__ import annotations

from typing import Annotated

import typer

from tunery.cli.noun import Limit, Noun, Offset
from tunery.cli.output import Output, note, sheet, table
from tunery.client import Client

noun = Noun("tokens", "Who may call.")


@noun.command("create", example="tunery tokens create ci --email ci@example.com --role ml_engineer --days 90")
def create_token(
    name: Annotated[str, typer.Argument(help="What the token is for.")],
    email: Annotated[str | None, typer.Option(help="Whose it is; made a member if new. Default: your own.")] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(
            help="viewer, model_developer, ml_engineer or model_admin; may be repeated. Default: viewer, "
            "who only looks; to chat it takes one of the others."
        ),
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="Days until it ends. Default: never.")] = None,
) -> Output:
    """Make a token; its text is shown this once."""
    with Client() as client:
        made = client.tokens.create(name, roles=role or ["viewer"], email=email, expires_in_days=days)
    note("Keep the token now: it cannot be shown again.")
    return sheet(made, "token", "keyId", "name", "roles", "expiresAt")


@noun.command("list", example="tunery tokens list")
def list_tokens(limit: Limit = 50, offset: Offset = 0) -> Output:
    """List tokens, the newest first, without their secrets."""
    with Client() as client:
        tokens = client.tokens.list(limit=limit, offset=offset)
        return table(tokens, "keyId", "name", "roles", "createdAt", "expiresAt", "revokedAt")


@noun.command("revoke", example="tunery tokens revoke 0123456789abcdef01234567")
def revoke_token(
    token: Annotated[str, typer.Argument(help="Its key id or id; `tunery tokens list` shows them.")],
) -> Output:
    """End a token; within seconds it works nowhere."""
    with Client() as client:
        return sheet(client.tokens.revoke(token), "keyId", "name", "revokedAt")
