"""Many processes on one store, killed at any moment: nothing named is lost, nothing destroyed comes back (F22)."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import sqlalchemy as sa

from tests.platform.blobs import storm_script
from tests.platform.blobs.conftest import Shelf
from tests.platform.blobs.storm_script import digest_of, file_of
from tunery.identity.tables import Tenant
from tunery.platform.blobs import BlobStore
from tunery.platform.blobs.backends import LocalBackend
from tunery.platform.blobs.checking import check
from tunery.platform.blobs.collecting import collect
from tunery.platform.blobs.rebuilding import rebuild
from tunery.platform.blobs.segments import find_segments
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import SWEEPS
from tunery.settings import Settings

EVERY = "TUNERY_FAULT_ROUNDS" in os.environ
KILLS, ROUNDS = (40, 60) if EVERY else (2, 15)
AT_ONCE = 3


def test_what_is_named_stays_whole_and_what_is_destroyed_stays_gone(
    shelf: Shelf, tmp_path: Path, sqlite_template: Path
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    hoard = tmp_path / "hoard"
    with hoarding(shelf, hoard / shelf.tenant_id):
        errors = storm(shelf, tmp_path, random.Random(seed))
    assert errors == []
    named, destroyed = told(tmp_path)
    assert named
    assert destroyed

    def whole() -> None:
        for tag in named:
            assert shelf.read(digest_of(tag)) == file_of(tag), tag
        assert not [tag for tag in destroyed if shelf.store.exists(shelf.tenant_id, digest_of(tag))]
        assert list(check(shelf.store, shelf.tenant_id)) == []

    whole()
    rebuild(shelf.store, shelf.tenant_id)
    whole()
    dict(SWEEPS)["staged packs"](shelf.ground, 0)
    collect(shelf.store, shelf.tenant_id, grace=timedelta(0))
    whole()
    known = {row.id for row in shelf.pack_rows()}
    assert [*shelf.leftovers, *(path for path in shelf.packs if path.name not in known)] == []
    assert readable_marks(shelf, hoard, tmp_path, sqlite_template, destroyed) == []


def storm(shelf: Shelf, folder: Path, rng: random.Random) -> list[str]:
    """Let workers work; kill one after the other, each after some deeds, and start another; let the last ones end."""
    number = 0
    running: list[tuple[str, subprocess.Popen[str]]] = []
    while number < KILLS + AT_ONCE:
        while len(running) < AT_ONCE:
            number += 1
            name = f"w{number}-{rng.randrange(10**6)}"
            running.append((name, start(shelf, name)))
        name, process = running.pop(0)
        deeds = rng.randrange(2, ROUNDS // 2)
        while process.poll() is None and lines_of(folder, name) < deeds:
            time.sleep(rng.random() / 20)
        process.kill()
        if error := ended(process):
            return [error]
    return [error for _, process in running if (error := ended(process))]


def start(shelf: Shelf, name: str) -> subprocess.Popen[str]:
    settings = shelf.ground.settings
    arguments = [str(settings.home), settings.effective_database_url, shelf.tenant_id, name, str(ROUNDS)]
    script = [sys.executable, "-m", storm_script.__name__]
    return subprocess.Popen([*script, *arguments], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def ended(process: subprocess.Popen[str]) -> str:
    """Wait for the end; return what a process says that failed by itself."""
    _, said = process.communicate(timeout=120)
    return said[-3000:] if process.returncode not in (0, -9) else ""


def lines_of(folder: Path, name: str) -> int:
    path = folder / f"journal-{name}"
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def told(folder: Path) -> tuple[set[str], set[str]]:
    """Return the tags that were named and not let go, and those that were destroyed, from all journals."""
    lines = [line.split() for path in folder.glob("journal-*") for line in path.read_text().splitlines()]
    said = {word: {line[1] for line in lines if line[0] == word} for word in ("named", "letting", "destroyed")}
    return said["named"] - said["letting"], said["destroyed"]


@contextmanager
def hoarding(shelf: Shelf, hoard: Path) -> Iterator[None]:
    """Keep a copy of every pack that ever lies there."""
    hoard.mkdir(parents=True)
    done = Event()

    def keep() -> None:
        while not done.is_set():
            for path in shelf.packs:
                if not (hoard / path.name).exists():
                    try:
                        os.link(path, hoard / path.name)
                    except FileNotFoundError:
                        continue
            done.wait(0.005)

    thread = Thread(target=keep)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def readable_marks(shelf: Shelf, hoard: Path, folder: Path, empty: Path, destroyed: set[str]) -> list[str]:
    """Try to read the marks of destroyed files out of all hoarded packs with the keys that are left."""
    shutil.copy(empty, folder / "fresh.sqlite")
    url = f"sqlite:///{folder}/fresh.sqlite"
    fresh = Ground.build(Settings(home=shelf.ground.settings.home, database_url=url, _env_file=None))
    with fresh.database.system_session("a test makes a tenant") as session:
        session.add(Tenant(id=shelf.tenant_id, name="acme"))
    store = BlobStore(fresh.database, LocalBackend(hoard), fresh.blobs.keyring, folder)
    rebuild(store, shelf.tenant_id)
    with fresh.database.session(shelf.tenant_id, read_only=True) as session:
        found = find_segments(session, sa.true())
    contents = [bytes(store.reader.content(shelf.tenant_id, one)) for one in found]
    fresh.database.close()
    assert contents
    return [tag for tag in destroyed if any(f"marked {tag}.".encode() in content for content in contents)]
