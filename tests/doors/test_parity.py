"""Each operation has a route, an SDK method and a command under one name; the few other names are listed here."""

from __future__ import annotations

import inspect

import pytest

from tunery.cli.main import COMMANDS, command_of
from tunery.client import Client
from tunery.platform.http import ROUTES
from tunery.rooms import load_rooms

load_rooms()

SDK_NAMES = {"datasets.import": "datasets.import_"}
"""Operation to SDK method, where Python or good sense want another name."""

CLI_NAMES = {
    "models.version": "models show",
    "models.download": "models pull",
    "uploads.create": "files upload",
    "uploads.part": "files upload",
    "uploads.complete": "files upload",
    "chat.complete": "chat",
    "chat.complete_text": "chat",
    "chat.models": "deployments list",
    "chat.model": "deployments get",
}
"""Operation to command, where a person would look for another word."""

OPERATIONS = [name for name, _ in ROUTES]


def test_there_are_operations() -> None:
    assert len(OPERATIONS) >= 45


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_has_an_sdk_method(operation: str) -> None:
    noun, _, verb = SDK_NAMES.get(operation, operation).partition(".")
    method = getattr(getattr(Client(url="http://localhost:1"), noun, None), verb, None)
    assert callable(method), f"tunery.Client has no {noun}.{verb}"
    assert inspect.getdoc(method), f"Client.{noun}.{verb} has no docstring"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_has_a_command(operation: str) -> None:
    words = CLI_NAMES.get(operation, operation.replace(".", " ").replace("_", "-")).split()
    assert words[0] in COMMANDS, f"there is no `tunery {words[0]}`"
    command = command_of(words[0])
    for word in words[1:]:
        command = command.commands.get(word)
        assert command is not None, f"there is no `tunery {' '.join(words)}` for {operation}"


@pytest.mark.parametrize("names", [SDK_NAMES, CLI_NAMES])
def test_the_lists_of_other_names_hold_nothing_that_is_gone(names: dict[str, str]) -> None:
    assert set(names) <= set(OPERATIONS)
