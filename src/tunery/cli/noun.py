"""The base of every command module: each command has an example and ``--json``, and returns what it found."""

from __future__ import annotations

import functools
import inspect
import signal
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from tunery.cli.output import Output, for_machines, note

__all__ = ["INTERRUPTED", "Limit", "Noun", "Offset"]

INTERRUPTED = 128 + signal.SIGINT
"""What shells answer for a command that Ctrl-C ended."""

Limit = Annotated[int, typer.Option(min=1, max=1000, help="Things at most.")]
Offset = Annotated[int, typer.Option(min=0, help="Things to pass over first.")]
Command = TypeVar("Command", bound=Callable[..., Output | None])
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines, and nothing else.")]


class Noun:
    """The commands of one noun; ``main.py`` finds it as ``noun`` in each module."""

    def __init__(self, name: str, summary: str) -> None:
        self.app = typer.Typer(name=name, help=summary, no_args_is_help=True)

    def command(self, name: str, *, example: str) -> Callable[[Command], Command]:
        """Declare a command.

        Its function returns an ``Output``, which is printed; one that has a parameter ``as_json`` prints by itself.

        Args:
            name: The word on the command line; the operation's verb.
            example: A whole command line, shown in the help.
        """

        def declare(function: Command) -> Command:
            self.app.command(name, epilog=f"Example: {example}")(_with_json(function))
            return function

        return declare


def _with_json(function: Callable[..., Output | None]) -> Callable[..., None]:
    signature = inspect.signature(function, eval_str=True)
    prints_itself = "as_json" in signature.parameters

    @functools.wraps(function)
    def command(*, as_json: bool = False, **arguments: Any) -> None:
        for_machines.set(as_json)
        try:
            found = function(**arguments, **({"as_json": as_json} if prints_itself else {}))
        except KeyboardInterrupt:
            note("\ninterrupted: what was done by then stands; look before you repeat it")
            raise typer.Exit(INTERRUPTED) from None
        if found is not None:
            found.print(as_json=as_json)
            if found.failure is not None:
                raise found.failure

    own = [p for p in signature.parameters.values() if p.name != "as_json"]
    flag = inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_AsJson)
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    command.__signature__ = signature.replace(parameters=[*parameters, flag], return_annotation=None)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in [*parameters, flag]}
    return command
