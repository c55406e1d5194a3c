"""A registry with a base and adapters, and the gateway on a real port."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from openai import OpenAI

from tests.fixtures import make_actor
from tests.registry.conftest import Shelf
from tests.registry.folders import make_adapter_folder
from tests.serving.teller import TELLER
from tests.weights.conftest import make_adapter, make_model, tiny_llama, tokenizer_dir
from tunery.app import server_config
from tunery.identity.authentication import Authenticator
from tunery.identity.operations import create_token
from tunery.identity.schemas import TokenCreate
from tunery.kit.actor import Actor
from tunery.platform.ground import Ground
from tunery.platform.http.mount import mount_routes
from tunery.platform.http.problems import answer_problems
from tunery.registry.tables import ModelVersion
from tunery.serving import jobs, routes
from tunery.serving.engine_pool import EnginePool
from tunery.serving.gateway import mount_gateway
from tunery.serving.operations import deploy_version, deployment_view, get_deployment
from tunery.serving.schemas import DeploymentCreate, DeploymentView

__all__ = ["jobs", "make_adapter", "make_model", "routes", "tiny_llama", "tokenizer_dir"]

SECONDS = 60.0


def until(what: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Return what the function returns once that is true; fail when it is not in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not in {seconds} s")


class Stage:
    """A ground with a registry and a pool; ``deploy`` waits for what becomes of a wish."""

    def __init__(self, ground: Ground, actor: Actor, folder: Path) -> None:
        self.ground = ground
        self.actor = actor
        self.shelf = Shelf(ground, actor, folder)
        self.pool = EnginePool(ground)

    def wish(self, version: ModelVersion | str, name: str | None = None, **more: Any) -> DeploymentView:
        """Write a wish and wake the pool."""
        reference = version if isinstance(version, str) else version.reference
        body = DeploymentCreate(version=reference, name=name, **{"engine": "teller", **more})
        with self.ground.database.session(self.actor.tenant_id) as session:
            view = deployment_view(deploy_version(session, self.ground, self.actor, body))
        self.pool.wake()
        return view

    def look(self, name: str) -> DeploymentView:
        """Return a deployment as it is."""
        with self.ground.database.session(self.actor.tenant_id, read_only=True) as session:
            return deployment_view(get_deployment(session, name))

    def settled(self, name: str) -> DeploymentView:
        """Return a deployment once it starts no more."""
        return until(lambda: (view := self.look(name)).status != "starting" and view)

    def deploy(self, version: ModelVersion | str, name: str | None = None, **more: Any) -> DeploymentView:
        """Wish, and wait."""
        return self.settled(self.wish(version, name, **more).name)

    def mute_adapter(self) -> ModelVersion:
        """Register an adapter that fails its health check."""
        folder = make_adapter_folder(self.shelf.folder / "mute", 9)
        (folder / "README.md").write_text("mute")
        return self.shelf.register("tuned", folder, base="small")


@pytest.fixture
def stage(ground: Ground, actor: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A stage whose pool runs; its registry holds the base ``small``."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # engines run without the current folder
    TELLER.started.clear()
    stage = Stage(ground, actor, tmp_path / "folders")
    stage.shelf.base()
    stage.pool.start()
    yield stage
    stage.pool.stop()
    until(lambda: TELLER.alive() == [])


def token_of(ground: Ground, actor: Actor) -> str:
    """Make a token with the actor's roles."""
    with ground.database.session(actor.tenant_id) as session:
        return create_token(session, actor, TokenCreate(name="test", roles=sorted(actor.roles)))[1]


@contextmanager
def serving(ground: Ground, pool: EnginePool) -> Iterator[str]:
    """Serve every route on a port of its own; gives the address."""
    app, services = FastAPI(), {}
    authenticator = Authenticator(ground)
    mount_routes(app, ground, services, authenticator, authenticator.on_denied, pool.wake)
    mount_gateway(app, services, pool)
    answer_problems(app)
    server = uvicorn.Server(server_config(app, port=0))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=60)


@pytest.fixture
def url(stage: Stage) -> Iterator[str]:
    """The address of a server on the stage."""
    with serving(stage.ground, stage.pool) as address:
        yield address


@pytest.fixture
def token(stage: Stage) -> str:
    """An administrator's token."""
    return token_of(stage.ground, stage.actor)


@pytest.fixture
def openai(url: str, token: str) -> Iterator[OpenAI]:
    """The unmodified client of OpenAI's."""
    with OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture
def http(url: str, token: str) -> Iterator[httpx.Client]:
    """A plain client with an administrator's token."""
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
        yield client


@pytest.fixture
def viewer_token(stage: Stage) -> str:
    """A token that may look and not ask."""
    return token_of(stage.ground, make_actor(stage.ground, "acme", "viewer"))
