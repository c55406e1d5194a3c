"""``tunery``: finds the command, loads its module alone, and turns errors into one message and an exit code."""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "command_of", "main", "run"]

_MAIN, _THINGS, _HOUSE = "The main job", "Things", "The house"

COMMANDS: dict[str, tuple[str, str]] = {
    "run": (_MAIN, "Carry out a recipe: data, training, evaluation, registration, deployment."),
    "init": (_MAIN, "Look at a data file and write a commented recipe for it."),
    "chat": (_MAIN, "Talk to a model, or to base and tuned side by side."),
    "datasets": (_THINGS, "Import, inspect and list datasets and their versions."),
    "compliance": (_THINGS, "Look at datasets by GDPR, HIPAA and others; attest, report, verify."),
    "runs": (_THINGS, "Trainings and their metrics."),
    "models": (_THINGS, "The registry: show, pull, verify, promote and export versions."),
    "subjects": (_THINGS, "Persons in the data: what saw their rows, and how these are erased."),
    "evaluations": (_THINGS, "Measure models on held-out rows, and compare them."),
    "gates": (_THINGS, "What a version must show before it is promoted."),
    "deployments": (_THINGS, "Versions that answer over the OpenAI protocol."),
    "pipelines": (_THINGS, "Recipes that are being carried out, or were."),
    "jobs": (_THINGS, "Units of the queue: follow, cancel, retry."),
    "files": (_THINGS, "Uploaded bytes, by digest."),
    "uploads": (_THINGS, "Files on their way in parts."),
    "backup": (_HOUSE, "Backups of the whole home: make, list, verify, put back."),
    "store": (_HOUSE, "Where the bytes lie: usage, check, collection, keys."),
    "serve": (_HOUSE, "Serve API, worker and gateway on one port."),
    "worker": (_HOUSE, "Run a worker alone."),
    "tokens": (_HOUSE, "Who may call."),
    "tenants": (_HOUSE, "Make tenants; for the operator."),
    "system": (_HOUSE, "What is running, and who you are to it."),
    "doctor": (_HOUSE, "What is installed, where the data lies, what is missing."),
}
"""Each top command with its panel and its line of help; module ``tunery.cli.<name>`` holds it."""


class _LazyGroup(TyperGroup):
    """Lists commands by their lines above, and loads a command's module only when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {
            name: TyperCommand(name, help=summary, rich_help_panel=panel) for name, (panel, summary) in COMMANDS.items()
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and command_of(args[0]), rest


_app = typer.Typer(name="tunery", cls=_LazyGroup, no_args_is_help=True)


@_app.callback(epilog="Example: tunery run examples/address-to-json/recipe.yaml")
def _root(
    version: bool = typer.Option(False, "--version", help="Show the version and end."),
) -> None:
    """Make, prove, keep and serve fine-tuned language models."""


def command_of(name: str) -> Any:
    """Load a top command: the one command of its module, or the group of its noun."""
    group = typer.main.get_group(import_module(f"tunery.cli.{name}").noun.app)
    return group.commands.get(name, group)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors become one message on standard error."""
    if [*arguments] == ["--version"]:
        import tunery

        typer.echo(tunery.__version__)
        return 0
    try:
        result = typer.main.get_command(_app).main(args=[*arguments], prog_name="tunery", standalone_mode=False)
    except Exception as error:  # noqa: BLE001 - the outermost edge: every error becomes a message and an exit code
        from tunery.cli.failures import report

        return report(error)
    return result if isinstance(result, int) else 0


def main() -> None:
    """Run this process's command line; SIGTERM ends it as politely as Ctrl-C."""
    terminated = False

    def end(*_: object) -> None:
        nonlocal terminated
        terminated = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    sys.exit(128 + signal.SIGTERM if terminated else code)
