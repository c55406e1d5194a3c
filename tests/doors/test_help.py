"""Every command explains itself: a summary, an example that calls it, ``--json``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from tunery.cli.main import COMMANDS, command_of, run


def leaves() -> Iterator[tuple[str, Any]]:
    for name in COMMANDS:
        command = command_of(name)
        if not hasattr(command, "commands"):
            yield name, command
            continue
        for verb, leaf in command.commands.items():
            yield f"{name} {verb}", leaf


LEAVES = dict(leaves())


def test_there_are_commands() -> None:
    assert len(LEAVES) >= 50


@pytest.mark.parametrize("path", LEAVES)
def test_a_command_has_an_example_that_calls_it(path: str) -> None:
    words = shlex.split(LEAVES[path].epilog.removeprefix("Example: "))
    while "=" in words[0]:  # a setting before the command
        words.pop(0)
    assert words[: 1 + len(path.split())] == ["tunery", *path.split()]


@pytest.mark.parametrize("path", LEAVES)
def test_the_options_of_an_example_exist(path: str) -> None:
    options = {name for parameter in LEAVES[path].params for name in [*parameter.opts, *parameter.secondary_opts]}
    used = {word for word in shlex.split(LEAVES[path].epilog) if re.match(r"--[a-z]", word)}
    assert used <= options


@pytest.mark.parametrize("path", LEAVES)
def test_a_command_has_a_summary_and_json(path: str) -> None:
    leaf = LEAVES[path]
    assert leaf.help
    assert leaf.help.split("\n")[0].rstrip(".;")
    assert any("--json" in parameter.opts for parameter in leaf.params)
    assert all(getattr(parameter, "help", None) for parameter in leaf.params), "an argument or option has no help"


@pytest.mark.parametrize("path", [*LEAVES, *COMMANDS, ""])
def test_help_is_shown(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*path.split(), "--help"]) == 0
    assert "Example: tunery" in capsys.readouterr().out or path in COMMANDS
