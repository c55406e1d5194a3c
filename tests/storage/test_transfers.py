"""Uploads and downloads over networks that break, beside servers and clients that die: the bytes arrive, each once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.doors.door import Door, until
from tests.doors.processes import alone, announced, start
from tests.doors.things import data_of, register
from tests.faults import EVERY
from tests.registry.folders import make_model_folder
from tests.storage.proxy import Cut, proxied
from tunery.client import Client
from tunery.client.uploads import Uploads
from tunery.errors import InvalidInput, TuneryError
from tunery.kit.digests import sha256_bytes, sha256_file
from tunery.storage.schemas import UploadPartView
from tunery.weights.safetensors import write_safetensors

__all__ = ["alone"]

PART = 65_536


@contextmanager
def connected(door: Door, home: Path, cut: Callable[[], Cut]) -> Iterator[Client]:
    """A client of acme's administrator beyond a network that is cut; it sends 64 KiB at a time and does not pause."""
    with proxied(door.socket_path, cut) as url, Client(url, door["acme/admin"].token, home) as client:
        yield hurried(client)


def hurried(client: Client) -> Client:
    client.transport.first_pause_seconds = 0
    client.files.parts_from_bytes, client.files.part_bytes = PART, PART
    return client


def whole() -> Cut:
    return Cut()


def stored(door: Door, digest: str) -> bytes:
    return door.ground.blobs.read(door["acme/admin"].actor.tenant_id, digest)


def open_uploads(door: Door) -> list[dict[str, object]]:
    return list(data_of(door["acme/admin"].http.get("/api/v1/uploads")))


def write(path: Path, size: int, seed: int) -> Path:
    path.write_bytes(random.Random(seed).randbytes(size))
    return path


def count_parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the number of each part that is sent."""
    sent: list[int] = []
    send = Uploads.part

    def noting(self: Uploads, upload_id: str, number: int, *rest: object) -> UploadPartView:
        sent.append(number)
        return send(self, upload_id, number, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Uploads, "part", noting)
    return sent


@pytest.mark.parametrize("seed", range(8 if EVERY else 2))
def test_a_connection_that_is_cut_anywhere_costs_no_byte_of_the_file(door: Door, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)

    def cut() -> Cut:
        return Cut(up=chance.randint(500, 250_000), down=chance.choice([None, chance.randint(0, 3000)]))

    path = write(tmp_path / "rows.bin", 20 * PART + seed, seed)
    seen = []
    with connected(door, tmp_path / "home", cut) as client:
        file = client.files.upload(path, lambda done, size: seen.append((done, size)))
    assert stored(door, file.digest) == path.read_bytes()
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)
    assert open_uploads(door) == []


@pytest.mark.long
@pytest.mark.faults
def test_an_answer_that_is_lost_makes_nothing_twice(door: Door, tmp_path: Path) -> None:
    """Registrations on each database; any answer may be cut anywhere, after the server has done the deed."""
    count = 50 if EVERY else 15
    chance = random.Random(3)
    with connected(door, tmp_path / "home", lambda: Cut(down=chance.randint(0, 30_000))) as client:
        for number in range(count):
            folder = make_model_folder(tmp_path / f"m{number}", seed=number)
            made = client.models.register("often", folder)
            assert made.version == f"1.{number}.0"
            files = {file["path"]: file["digests"]["sha256"] for file in made.manifest["files"]}
            assert files == {path.name: sha256_file(path) for path in folder.iterdir()}
    assert len(data_of(door["acme/admin"].http.get("/api/v1/models/often/versions"))) == count


def test_of_sixteen_who_register_one_version_one_wins_and_nothing_is_mixed(door: Door, tmp_path: Path) -> None:
    folders = [make_model_folder(tmp_path / str(seed), seed=seed) for seed in range(16)]

    def attempt(folder: Path) -> int:
        with connected(door, tmp_path / "home", whole) as client:
            client.files.parts_from_bytes = 0
            try:
                client.models.register("contested", folder, version="1.0.0")
            except TuneryError as error:
                return error.status
            return 201

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(attempt, folders))
    assert sorted(answers) == [201, *[409] * 15]
    version = data_of(door["acme/admin"].http.get("/api/v1/models/contested/versions/1.0.0"))
    files = {file["path"]: file["digests"]["sha256"] for file in version["manifest"]["files"]}
    assert files == {path.name: sha256_file(path) for path in folders[answers.index(201)].iterdir()}


@pytest.mark.faults
def test_a_download_that_is_cut_anywhere_is_gone_on_with(door: Door, tmp_path: Path) -> None:
    """Many times on each database: a file of 160,000 bytes, a connection of at most 60,000."""
    folder = make_model_folder(tmp_path / "model")
    write_safetensors(
        folder / "model.safetensors", {"w": np.random.default_rng(0).normal(size=40_000).astype(np.float32)}
    )
    register(door["acme/admin"], "pulled", folder)
    chance = random.Random(5)
    with connected(door, tmp_path / "home", lambda: Cut(down=chance.randint(100, 60_000))) as client:
        for number in range(100 if EVERY else 25):
            out = client.models.pull("pulled:1.0.0", tmp_path / f"out{number}")
            assert {p.name: p.read_bytes() for p in out.iterdir()} == {p.name: p.read_bytes() for p in folder.iterdir()}


def test_a_client_that_is_killed_is_gone_on_with_by_the_next(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "rows.bin", 12 * PART, 11)
    code = """
import os, sys
from tunery.client import Client
with Client(sys.argv[1], sys.argv[2], sys.argv[3]) as client:
    client.files.parts_from_bytes = client.files.part_bytes = 65536
    client.files.upload(sys.argv[4], lambda done, size: done > size // 2 and os.kill(os.getpid(), 9))
"""
    with proxied(door.socket_path, whole) as url:
        token, home = door["acme/admin"].token, tmp_path / "home"
        done = subprocess.run([sys.executable, "-c", code, url, token, home, path], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    until(lambda: len(open_uploads(door)) == 1)
    there = {part["number"] for part in open_uploads(door)[0]["parts"]}  # type: ignore[attr-defined]
    assert 3 <= len(there) <= 7  # it died when more than six of twelve were on their way, two at a time
    sent = count_parts(monkeypatch)
    with connected(door, tmp_path / "home", whole) as client:
        file = client.files.upload(path)
    assert set(sent).isdisjoint(there)
    assert 11 <= len(sent) + len(there) <= 12  # one that was on its way when the client died may have come since
    assert stored(door, file.digest) == path.read_bytes()


def test_a_file_that_changes_while_it_is_sent_is_refused_and_sent_anew(door: Door, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.bin", 6 * PART, 12)
    changed = False

    def change(done: int, size: int) -> None:
        nonlocal changed
        if not changed and done > size // 2:
            changed = True
            with path.open("r+b") as file:
                file.seek(5 * PART)
                file.write(b"changed")

    with connected(door, tmp_path / "home", whole) as client:
        with pytest.raises(InvalidInput):
            client.files.upload(path, change)
        assert open_uploads(door) == []
        assert client.files.upload(path).digest == sha256_file(path)
    assert stored(door, sha256_file(path))[5 * PART :][:7] == b"changed"


def test_a_server_that_is_killed_again_and_again_loses_no_part_that_it_acknowledged(
    alone: dict[str, str], tmp_path: Path
) -> None:
    """One of two parts at a time kills it, wherever the other is; what was acknowledged is never sent again."""
    path = write(tmp_path / "rows.bin", 60 * PART + 17, 13)
    environment = {**alone, "TUNERY_LOG_LEVEL": "warning"}
    servers = [_serve(environment)]
    announcement = announced(environment, servers[0])
    token = (Path(alone["TUNERY_HOME"]) / "owner.token").read_text().strip()
    acknowledged: list[int] = []
    kills = [7, 20, 41]
    one_at_a_time = threading.Lock()
    send = Uploads.part

    class Killing(Uploads):
        def part(self, upload_id: str, number: int, data: bytes, watch: object = None) -> UploadPartView:
            assert number not in acknowledged
            with one_at_a_time:
                if kills and len(acknowledged) >= kills[0]:
                    kills.pop(0)
                    _kill(servers[-1])
                    announcement.unlink()
                    servers.append(_serve(environment))
            answer = send(self, upload_id, number, data)
            acknowledged.append(number)
            return answer

    try:
        with (
            pytest.MonkeyPatch.context() as patch,
            proxied(announcement, whole) as url,
            Client(url, token, tmp_path / "home") as client,
        ):
            patch.setattr("tunery.client.files.Uploads", Killing)
            file = hurried(client).files.upload(path)
            assert kills == []
            # Of what was on its way at each of three kills, two parts at a time, only the answers may be lost.
            assert 61 - 6 <= len(acknowledged) <= 61
            assert client.files.get(file.digest).size_bytes == path.stat().st_size
            assert client.uploads.list() == []
    finally:
        _kill(servers[-1])
    staged = [p for p in (Path(alone["TUNERY_HOME"]) / "uploads").rglob("*") if p.is_file()]
    assert staged == []
    assert file.digest == sha256_bytes(path.read_bytes())


def _serve(environment: dict[str, str]) -> subprocess.Popen[str]:
    server = start(environment, "serve", "--port", "0", "--no-worker")
    for stream in (server.stdout, server.stderr):
        assert stream is not None
        threading.Thread(target=sys.stderr.writelines, args=(stream,), daemon=True).start()
    return server


def _kill(server: subprocess.Popen[str]) -> None:
    server.kill()
    server.wait()
