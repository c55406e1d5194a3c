"""``tunery tenants``."""

from __future__ import annotations

from typing import Annotated

import typer

from tunery.cli.noun import Noun
from tunery.cli.output import Output, note, sheet
from tunery.client import Client

noun = Noun("tenants", "Make tenants; for the operator.")


@noun.command("create", example="tunery tenants create acme --admin-email admin@acme.example")
def create_tenant(
    name: Annotated[str, typer.Argument(help="Name of the tenant; it stands in full model names.")],
    admin_email: Annotated[str, typer.Option(help="Who administers it.")],
) -> Output:
    """Make a tenant with its administrator, whose token is shown this once."""
    with Client() as client:
        made = client.tenants.create(name, admin_email)
    note("Keep the administrator's token now: it cannot be shown again.")
    return sheet(made, "id", "name", "token")
