"""``tunery system``."""

from __future__ import annotations

from tunery.cli.noun import Noun
from tunery.cli.output import Output, sheet
from tunery.client import Client

noun = Noun("system", "What is running, and who you are to it.")


@noun.command("get", example="tunery system get --json")
def get_system() -> Output:
    """Show what is running there and who you are to it."""
    with Client() as client:
        return sheet(client.system.get())


@noun.command("live", example="tunery system live")
def live() -> Output:
    """Tell that the process answers."""
    with Client() as client:
        return sheet({"live": client.system.live().strip()})


@noun.command("ready", example="tunery system ready")
def ready() -> Output:
    """Tell that the database answers too."""
    with Client() as client:
        return sheet({"ready": client.system.ready().strip()})


@noun.command("metrics", example="tunery system metrics")
def metrics() -> Output:
    """Print all numbers in Prometheus' text format."""
    with Client() as client:
        text = client.system.metrics()
        return Output({"text": text}, text)
