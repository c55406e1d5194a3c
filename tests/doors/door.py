"""The whole house behind a real server, and the people who knock; every answer is searched for what must not leak."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from tests.fixtures import fresh_settings, make_actor
from tunery.app import House, build_house, server_config
from tunery.identity.operations import bootstrap, create_token
from tunery.identity.schemas import TokenCreate
from tunery.kit.actor import Actor
from tunery.kit.ids import new_id
from tunery.platform.ground import Ground
from tunery.platform.jobs import Job, JobContext
from tunery.platform.jobs.kinds import JOB_KINDS
from tunery.settings import Settings

CANARY = "the-canary-of-acme"
"""Stands in descriptions of acme's things; no other tenant may ever read it."""

INSIDE = ("Traceback", 'File "/', "site-packages", "src/tunery", "sqlalchemy", "psycopg", "sqlite3", "INSERT INTO")
"""What only the inside of the house says."""


@dataclass
class Person:
    """Who knocks: the actor as operations know them, their token, and an HTTP client that carries it."""

    actor: Actor
    token: str
    http: httpx.Client


@dataclass
class Door:
    """A house that answers on a Unix socket, and the people of this test module."""

    house: House
    socket_path: Path
    secrets: dict[str, str] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)
    _held: ExitStack = field(default_factory=ExitStack)

    @property
    def ground(self) -> Ground:
        """The ground the house stands on."""
        return self.house.ground

    @cached_property
    def anonymous(self) -> httpx.Client:
        """A client without a token."""
        return self.client("anonymous", None)

    def __getitem__(self, name: str) -> Person:
        return self.people[name]

    def client(self, who: str, token: str | None) -> httpx.Client:
        """Open a client whose every answer is searched for secrets and insides of the house."""
        tenant = who.partition("/")[0]

        def searched(response: httpx.Response) -> None:
            text = response.read().decode("utf-8", "replace") + str(response.headers)
            inside = [word for word in INSIDE if word in text]
            known = [name for name, secret in self.secrets.items() if secret in text]
            assert not inside, f"{response.request.method} {response.url}: {inside} in {text[:2000]}"
            assert not known, f"{response.request.method} {response.url}: {known} in {text[:2000]}"
            assert tenant == "acme" or CANARY not in text, f"{response.url} shows {tenant} what is acme's"

        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self._held.enter_context(
            httpx.Client(
                transport=httpx.HTTPTransport(uds=str(self.socket_path)),
                base_url="http://tunery",
                headers=headers,
                timeout=60,
                event_hooks={"response": [searched]},
            )
        )

    def admit(self, name: str, role: str) -> Person:
        """Make a person ``tenant/nickname`` of a role, with a token."""
        actor = make_actor(self.ground, name.partition("/")[0], role)
        with self.ground.database.session(actor.tenant_id) as session:
            token = create_token(session, actor, TokenCreate(name="test", roles=[role]))[1]
        self.secrets[f"token of {name}"] = token
        self.people[name] = Person(actor, token, self.client(name, token))
        return self.people[name]

    def raw(self, request: bytes, *, hang_up: bool = False) -> tuple[int, bytes]:
        """Send bytes as they are and return status and body of the one answer; 0 where there was none.

        With ``hang_up`` the connection is closed for writing after them, as when a sender dies.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(60)
            connection.connect(str(self.socket_path))
            try:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may answer before it has read all
                    connection.sendall(request)
                if hang_up:
                    connection.shutdown(socket.SHUT_WR)
                answer = http.client.HTTPResponse(connection)
                answer.begin()
                return answer.status, answer.read()
            except (ConnectionError, http.client.HTTPException):
                return 0, b""

    def carry_out(self, tenant_id: str, job_id: str) -> dict[str, Any]:
        """Run a queued job's handler here, as a worker would, and return its result."""
        with self.ground.database.session(tenant_id) as session:
            row = session.get_one(Job, job_id)
            row.status, row.lease_token, row.attempts = "running", new_id(), row.attempts + 1
        context = JobContext(self.ground, row, row.lease_token, lambda: False)
        result = JOB_KINDS.get(row.kind).handler(context, dict(row.payload)) or {}
        with context.session() as session:
            row = session.get_one(Job, job_id)
            row.status, row.result, row.lease_token = "succeeded", result, None
        return result

    def close(self) -> None:
        """Close every client."""
        self._held.close()


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until the function says so; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@contextmanager
def opened(settings: Settings, *, with_engines: bool = False) -> Iterator[Door]:
    """Build the house on these settings and serve it, without a worker, in a thread of this process."""
    house = build_house(settings, with_worker=False)
    path = settings.home / "door.sock"
    server = uvicorn.Server(server_config(house.app, uds=str(path)))
    thread = threading.Thread(target=server.run, daemon=True)
    if with_engines:
        house.engines.start()
    thread.start()
    until(lambda: server.started)
    door = Door(house, path, {"home": str(settings.home), "owner token": bootstrap(house.ground)})
    try:
        yield door
    finally:
        door.close()
        server.should_exit = True
        thread.join(timeout=60)
        if with_engines:
            house.engines.stop()
        house.ground.database.close()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    """A door for each module and database, with ``acme/admin``, ``acme/developer``, ``acme/engineer``,
    ``acme/viewer`` and ``rival/admin``. A module sets ``WITH_ENGINES`` where deployments shall answer.
    """
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="tnr-") as home,
        fresh_settings(request.param, Path(home) / "home", request) as settings,
        opened(settings, with_engines=getattr(request.module, "WITH_ENGINES", False)) as door,
    ):
        # Engines run without the current folder, and one of them lies among the tests.
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
        roles = {"admin": "model_admin", "developer": "model_developer", "engineer": "ml_engineer", "viewer": "viewer"}
        for nickname, role in roles.items():
            door.admit(f"acme/{nickname}", role)
        door.admit("rival/admin", "model_admin")
        yield door
