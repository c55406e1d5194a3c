"""Real servers of object storage for a test session: SeaweedFS speaks S3, Azurite speaks Azure Blob Storage."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

import httpx
import pytest

from tunery.errors import Unavailable
from tunery.platform.blobs.backends import Patience, open_backend

AZURITE = Path(__file__).parents[1] / ".venv" / "npm" / "node_modules" / ".bin" / "azurite-blob"
BUCKET = "contracts"


@dataclass(frozen=True)
class ObjectServer:
    """A running server with one bucket.

    Attributes:
        url: Of the bucket, as the store's setting names it.
        port: Where it listens on 127.0.0.1.
        environment: The provider's variables that lead to it.
    """

    url: str
    port: int
    environment: Mapping[str, str]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """A SeaweedFS of this session; one that is robbed of a port by another process is started again on others."""
    for left in (2, 1, 0):
        with ExitStack() as held:
            try:
                server = held.enter_context(_seaweed(tmp_path_factory.mktemp("weed")))
            except (RuntimeError, Unavailable):
                if left == 0:
                    raise
                continue
            yield server
            return


@contextmanager
def _seaweed(folder: Path) -> Iterator[ObjectServer]:
    key, secret = secrets.token_hex(8), secrets.token_hex(16)
    identity = {"name": "tests", "credentials": [{"accessKey": key, "secretKey": secret}], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    port = _free_port()
    ports = [f"-{name}={_free_port()}" for name in _PORTS]
    command = [
        "weed", "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.port={port}", *ports,
        f"-s3.config={folder / 's3.json'}", f"-bucket={BUCKET}", "-admin.ui=false", "-webdav=false",
        f"-filer.localSocket={folder / 'filer.sock'}", f"-s3.localSocket={folder / 's3.sock'}",
        "-master.telemetry=false", "-s3.port.lance=0", "-s3.port.iceberg=0",
    ]  # fmt: skip
    with _running([str(Path(sys.executable).with_name(command[0])), *command[1:]], port, folder):
        environment = {
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_ENDPOINT": f"http://127.0.0.1:{port}",
            "AWS_REGION": "us-east-1",
        }
        server = ObjectServer(f"s3://{BUCKET}", port, environment)
        _wait_until_it_writes(server)
        yield server


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """An Azurite of this session; the Makefile installs it where there is npm."""
    if not AZURITE.exists():
        if "CI" in os.environ or shutil.which("npm"):
            pytest.fail("Azurite is not installed; `make .venv/.tools` does it")
        pytest.skip("Azurite needs npm (Node.js), which is not here; install it and run `make .venv/.tools`")
    folder, port = tmp_path_factory.mktemp("azurite"), _free_port()
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    command = [
        str(AZURITE), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder),
        "--skipApiVersionCheck", "--disableTelemetry", "--silent",
    ]  # fmt: skip
    with _running(command, port, folder, AZURITE_ACCOUNTS=f"tests:{key}"):
        environment = {
            "AZURE_STORAGE_ACCOUNT_NAME": "tests",
            "AZURE_STORAGE_ACCOUNT_KEY": key,
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/tests",
        }
        _make_container(environment["AZURE_STORAGE_ENDPOINT"], key)
        server = ObjectServer(f"az://{BUCKET}", port, environment)
        _wait_until_it_writes(server)
        yield server


_PORTS = (
    "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc",
    "s3.port.grpc", "admin.port", "admin.port.grpc",
)  # fmt: skip


def _free_port() -> int:
    """Draw a port from below those that systems give to connections, which come and go all the time."""
    while True:
        port = secrets.choice(range(10_000, 32_000))
        with socket.socket() as listening, suppress(OSError):
            listening.bind(("127.0.0.1", port))
            return port


@contextmanager
def _running(command: list[str], port: int, folder: Path, **environment: str) -> Iterator[None]:
    """Run a server until the block ends, from when it listens."""
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, env={**os.environ, **environment})
    try:
        _until(lambda: _listens(port), process, log)
        yield
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0


def _until(done: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not done():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{process.args!r} did not start:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.05)


def _wait_until_it_writes(server: ObjectServer) -> None:
    """A server listens a while before it takes what is written. Raises: Unavailable: it does not."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        open_backend(f"{server.url}/ready", Patience(request_seconds=5, retry_seconds=60)).put("ready", b"x")


def _make_container(endpoint: str, key: str) -> None:
    """Make the container. Source: Azure Storage REST API, "Create Container" and "Authorize with Shared Key"."""
    date, version = formatdate(usegmt=True), "2021-08-06"
    path = f"{httpx.URL(endpoint).path}/{BUCKET}"
    signed = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{version}\n/tests{path}\nrestype:container"
    signature = base64.b64encode(hmac.digest(base64.b64decode(key), signed.encode(), hashlib.sha256)).decode()
    headers = {"x-ms-date": date, "x-ms-version": version, "Authorization": f"SharedKey tests:{signature}"}
    answer = httpx.put(f"{endpoint}/{BUCKET}?restype=container", headers=headers, timeout=60)
    answer.raise_for_status()
