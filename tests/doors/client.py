"""A client and the command line, on one real Tunery that the tests of a session share."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tunery.cli.main import run
from tunery.client import Client


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    """A client that works without a server: it starts the whole house for itself, in a home with a short path."""
    with tempfile.TemporaryDirectory(prefix="tnr-") as home, Client(home=home, url="", token="") as made:
        yield made


@pytest.fixture
def tunery(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, Any, str]]:
    """Run a command line with ``--json``; return exit code, what was printed, and standard error."""
    assert client.transport.address.own
    monkeypatch.setenv("TUNERY_HOME", str(client.settings.home))
    for name in ("TUNERY_URL", "TUNERY_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str | Path) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = run([*map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err

    return call
