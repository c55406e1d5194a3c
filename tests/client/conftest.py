"""A home folder whose server file names a socket, and a transport to it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunery.client.transport import Transport
from tunery.settings import Settings


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path: Unix sockets hold about a hundred bytes of one."""
    with tempfile.TemporaryDirectory(prefix="tnr-") as folder:
        path = Path(folder)
        path.joinpath("owner.token").write_text("tnr_owner")
        path.joinpath("server.json").write_text(json.dumps({"pid": os.getpid(), "socket": str(path / "s")}))
        yield path


@pytest.fixture
def transport(home: Path) -> Iterator[Transport]:
    made = Transport(Settings(home=home, url="", token="", _env_file=None))
    made.first_pause_seconds = 0
    yield made
    made.close()
