"""``tunery deployments``."""

from __future__ import annotations

from typing import Annotated

import typer

from tunery.cli.noun import Limit, Noun, Offset
from tunery.cli.output import Output, confirm, note, sheet, table
from tunery.client import Client

noun = Noun("deployments", "Versions that answer over the OpenAI protocol.")
Name = Annotated[str, typer.Argument(metavar="DEPLOYMENT", help="Name of the deployment.")]


@noun.command("create", example="tunery deployments create address-json:1.0.0 --environment staging")
def create(
    version: Annotated[str, typer.Argument(help="name:1.2.0, or a name for its newest version.")],
    name: Annotated[str | None, typer.Option(help="What requests send as `model`. Default: the model's name.")] = None,
    environment: Annotated[str, typer.Option(help="A label, such as staging.")] = "local",
    engine: Annotated[str | None, typer.Option(help="Inference engine. Default: the server's choice.")] = None,
    health_check: Annotated[bool, typer.Option(help="Let it answer one request before it is put live.")] = True,
    wait: Annotated[bool, typer.Option(help="Wait until it answers.")] = True,
) -> Output:
    """Deploy a version under a name, or point that name at another version once it answers."""
    with Client() as client:
        made = client.deployments.create(
            version, name=name, environment=environment, engine=engine, health_check=health_check
        )
        if wait and made.status == "starting":
            note(f"starting {made.version} as {made.name} ...")
            made = client.deployments.wait(made.name)
        if client.transport.address.own:
            note("No server is running, so it answers as long as a tunery command runs; `tunery serve` keeps it up.")
        return sheet(made)


@noun.command("list", example="tunery deployments list")
def list_deployments(limit: Limit = 50, offset: Offset = 0) -> Output:
    """List deployments with what they serve and how they are."""
    with Client() as client:
        found = client.deployments.list(limit=limit, offset=offset)
        return table(found, "name", "environment", "version", "servedVersion", "engine", "status", "statusReason")


@noun.command("get", example="tunery deployments get address-json")
def get_deployment(deployment: Name) -> Output:
    """Show a deployment."""
    with Client() as client:
        return sheet(client.deployments.get(deployment))


@noun.command("delete", example="tunery deployments delete address-json --confirm")
def delete(
    deployment: Name,
    confirmed: Annotated[bool, typer.Option("--confirm", help="Do not ask.")] = False,
) -> Output:
    """Take a deployment away; it answers no more."""
    if not confirmed:
        confirm(f"Take away {deployment}?")
    with Client() as client:
        return sheet(client.deployments.delete(deployment), "name", "version")
