"""Builds the whole from settings: the only place that chooses implementations and mounts doors."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa
import structlog
import uvicorn
from fastapi import FastAPI

import tunery
from tunery.api.docs_page import mount_docs
from tunery.errors import Conflict, EngineFailed, Refused
from tunery.identity.authentication import Authenticator
from tunery.identity.operations import bootstrap
from tunery.identity.rules import roles_with
from tunery.identity.tables import ApiToken
from tunery.platform.db.engine import sqlite_warning
from tunery.platform.db.migrate import migrate, owner_of
from tunery.platform.ground import Ground
from tunery.platform.http.middleware import Edge
from tunery.platform.http.mount import mount_routes
from tunery.platform.http.problems import answer_problems
from tunery.platform.jobs.queue_database import migrate_queue
from tunery.platform.jobs.worker import Worker
from tunery.platform.telemetry import configure_logging
from tunery.rooms import load_rooms
from tunery.serving.engine_pool import EnginePool
from tunery.serving.gateway import mount_gateway
from tunery.settings import Settings
from tunery.storage.backup.restoring import Restored, refuse_half_restored, restore_backup

__all__ = ["House", "LocalServer", "build_house", "restore", "serve", "server_config", "work"]

log = structlog.get_logger(__name__)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "tunery"})


@dataclass
class House:
    """A Tunery that is built and not yet started."""

    ground: Ground
    app: FastAPI
    engines: EnginePool
    worker: Worker | None

    def start(self, *, warm: bool = False, eager: bool = True) -> None:
        """Start engines and worker.

        Args:
            warm: Load every deployed version now, not with its first request.
            eager: Take up unfinished jobs now, not with the first call that changes something.
        """
        self.engines.start(warm=warm)
        if self.worker is not None:
            if eager:
                self.worker.start()
            else:
                self.worker.start_when_woken()

    def stop(self) -> None:
        """Stop worker and engines; unfinished jobs go back to the queue."""
        if self.worker is not None:
            self.worker.stop()
        self.engines.stop()
        self.ground.database.close()


def build_house(settings: Settings, *, with_worker: bool = True) -> House:
    """Migrate the database, make the first tenant where there is none, and put the parts together.

    Raises:
        SchemaNewer: The database is of a newer Tunery. Refused: the database role passes every policy, or a restore
        into the home was not finished.
    """
    load_rooms()
    refuse_half_restored(settings)
    if settings.is_sqlite and (warning := sqlite_warning()):
        log.warning(warning)
    migrate(settings)
    if not settings.is_sqlite:
        migrate_queue(*owner_of(settings))
    ground = Ground.build(settings)
    ground.database.check()
    bootstrap(ground)
    engines = EnginePool(ground)
    worker = Worker(ground) if with_worker else None
    app = FastAPI(
        title="Tunery",
        version=tunery.__version__,
        description="The self-hosted workshop for fine-tuned language models.",
        docs_url=None,
        openapi_url="/api/openapi.json",
        redoc_url=None,
        redirect_slashes=False,
    )
    authenticator = Authenticator(ground)
    services: dict[str, Any] = {"worker": worker, "engines": engines, "authenticator": authenticator}
    app.state.services = services

    def after_commit() -> None:
        if worker is not None:
            worker.wake()
        engines.wake()

    mount_routes(app, ground, services, authenticator, authenticator.on_denied, after_commit, roles_with)
    mount_gateway(app, services, engines)
    mount_docs(app)
    answer_problems(app)
    hosts = _LOOPBACK | {settings.host.lower(), *(host.lower() for host in settings.allowed_hosts)}
    app.add_middleware(Edge, allowed_hosts=frozenset(hosts))
    return House(ground, app, engines, worker)


def serve(settings: Settings, *, with_worker: bool = True) -> None:
    """Serve API, worker and gateway on one port until a signal ends it.

    Raises:
        Refused: The address is not loopback and no token was made explicitly. Conflict: the port or home is in use.
    """
    configure_logging(settings)
    with _HomeLock(settings):
        house = build_house(settings, with_worker=with_worker)
        if not _is_loopback(settings.host):
            _refuse_without_tokens(house.ground, settings.host)
        listening = _bind(settings)
        host, port = listening.getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        shown = f"[{host}]" if ":" in host else host
        server = uvicorn.Server(server_config(house.app))
        house.start(warm=True)
        try:
            with _announced(settings, {"url": f"http://{shown}:{port}"}):
                log.info("serving", url=f"http://{shown}:{port}", docs=f"http://{shown}:{port}/api/docs")
                server.run(sockets=[listening])
        finally:
            house.stop()


def work(settings: Settings) -> None:
    """Run a worker alone until a signal ends it; for Postgres with several workers, each with a name of its own."""
    import signal

    configure_logging(settings)
    house = build_house(settings)
    assert house.worker is not None
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    house.worker.start()
    log.info("working", name=settings.worker_name)
    ended.wait()
    house.worker.stop()
    house.ground.database.close()


def restore(settings: Settings, url: str, backup_id: str | None = None) -> Restored:
    """Put a backup back into a home that nobody serves.

    Raises:
        Conflict: Somebody serves the home. Refused, IntegrityError, NotFound: as ``restore_backup`` says.
    """
    load_rooms()
    configure_logging(settings)
    with _HomeLock(settings):
        return restore_backup(settings, url, backup_id)


class LocalServer:
    """The whole Tunery on a private Unix socket, in threads of this process, for as long as the block lasts.

    Raises:
        Conflict: Another process serves this home folder already; use that one.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open = ExitStack()
        self.socket_path = settings.home / "tunery.sock"

    def __enter__(self) -> LocalServer:
        with self._open:
            self._open.enter_context(_HomeLock(self._settings))
            house = build_house(self._settings)
            self._open.callback(house.stop)
            if len(os.fsencode(self.socket_path)) > 100:  # Linux holds 108 bytes of a socket's path, macOS 104
                folder = self._open.enter_context(tempfile.TemporaryDirectory(prefix="tunery-"))
                self.socket_path = Path(folder) / "tunery.sock"
            listening = self._open.enter_context(_private_socket(self.socket_path))
            house.start(eager=False)
            self._server = uvicorn.Server(server_config(house.app))
            self._thread = threading.Thread(target=self._server.run, args=[[listening]], daemon=True)
            self._thread.start()
            self._open.callback(self._end)
            self._wait_until_started()
            self._open.enter_context(_announced(self._settings, {"socket": str(self.socket_path)}))
            self._open = self._open.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _end(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)

    def _wait_until_started(self) -> None:
        deadline = time.monotonic() + 30
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise EngineFailed("the local server did not start")
            time.sleep(0.01)


class _HomeLock:
    """At most one process serves a home folder."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.folder() / "server.lock"
        self._file: IO[str] | None = None

    def __enter__(self) -> None:
        self._file = self._path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise Conflict(f"another Tunery serves {self._path.parent} already; use that one or stop it") from error

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


class _announced:
    """Keep ``server.json`` beside the data while the server runs, so that clients find it."""

    def __init__(self, settings: Settings, where: dict[str, str]) -> None:
        self._path = settings.folder() / "server.json"
        self._where = where

    def __enter__(self) -> None:
        staging = self._path.with_suffix(".new")
        with os.fdopen(os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump({"pid": os.getpid(), "started": time.time(), **self._where}, file)
        os.replace(staging, self._path)

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)


def server_config(app: FastAPI, **where: Any) -> uvicorn.Config:
    """The same server wherever other packages are installed: h11 bounds the size of headers, httptools does not."""
    return uvicorn.Config(
        app,
        http="h11",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
        lifespan="on",
        **where,
    )


@contextmanager
def _private_socket(path: Path) -> Iterator[socket.socket]:
    """Listen on a Unix socket that only this user may use."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        before = os.umask(0o177)
        try:
            listening.bind(str(path))
        finally:
            os.umask(before)
        listening.listen(128)
        yield listening
    path.unlink(missing_ok=True)


def _bind(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio switches Nagle's delay off only where the protocol is named; 40 ms an answer otherwise.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise Conflict(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror}); choose another with --port"
        ) from error
    listening.listen(512)
    return listening


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refuse_without_tokens(ground: Ground, host: str) -> None:
    with ground.database.system_session("serving beyond this machine needs tokens") as session:
        made = session.scalar(sa.select(sa.func.count(ApiToken.id)).where(ApiToken.name != "local owner"))
    if not made:
        raise Refused(
            f"{host} is reachable from other machines and nobody has a token yet; make one first with "
            f"`tunery tokens create NAME --email YOU@EXAMPLE.COM --role model_admin`"
        )
