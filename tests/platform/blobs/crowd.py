"""Processes that work on one store at once, what they told, and a look whether that is so."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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

__all__ = ["ended", "hoarding", "start", "told", "wait_for_lines", "whole", "whole_at_last"]


def start(shelf: Shelf, name: str, part: str, rounds: int) -> subprocess.Popen[str]:
    """Start a worker."""
    settings = shelf.ground.settings
    arguments = [str(settings.home), settings.effective_database_url, shelf.tenant_id, name, part, str(rounds)]
    script = [sys.executable, "-m", storm_script.__name__]
    return subprocess.Popen([*script, *arguments], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def ended(process: subprocess.Popen[str]) -> str:
    """Wait for the end; return what a process says that failed by itself."""
    _, said = process.communicate(timeout=120)
    return said[-3000:] if process.returncode not in (0, -9) else ""


def wait_for_lines(folder: Path, name: str, count: int, process: subprocess.Popen[str], rng: random.Random) -> None:
    """Wait until a worker has told so much, or has ended, and a moment of no length in particular longer."""
    journal = folder / f"journal-{name}"
    while process.poll() is None and (not journal.is_file() or journal.read_bytes().count(b"\n") < count):
        time.sleep(rng.random() / 20)


def told(folder: Path) -> tuple[set[str], set[str]]:
    """Return the tags that were named and not let go, and those that were destroyed, from all journals."""
    lines = [line.split() for path in folder.glob("journal-*") for line in path.read_text().splitlines()]
    said = {word: {line[1] for line in lines if line[0] == word} for word in ("named", "letting", "destroyed")}
    return said["named"] - said["letting"], said["destroyed"]


def whole(shelf: Shelf, named: set[str], destroyed: set[str]) -> None:
    """What is named is there, what was destroyed is not, and no byte is damaged."""
    for tag in named:
        assert shelf.read(digest_of(tag)) == file_of(tag), tag
    assert not [tag for tag in destroyed if shelf.store.exists(shelf.tenant_id, digest_of(tag))]
    assert list(check(shelf.store, shelf.tenant_id)) == []


def whole_at_last(shelf: Shelf, named: set[str], destroyed: set[str], hoard: Path, folder: Path, empty: Path) -> None:
    """Whole now, after the index was written anew and after a collection; then nothing lies there that none needs.

    What was destroyed can be read in no copy of any pack.
    """
    whole(shelf, named, destroyed)
    rebuild(shelf.store, shelf.tenant_id)
    whole(shelf, named, destroyed)
    dict(SWEEPS)["staged packs"](shelf.ground, 0)
    collect(shelf.store, shelf.tenant_id, grace=timedelta(0))
    whole(shelf, named, destroyed)
    known = {row.id for row in shelf.pack_rows()}
    assert [*shelf.leftovers, *(path for path in shelf.packs if path.name not in known)] == []
    assert _readable_marks(shelf, hoard, folder, empty, destroyed) == []


@contextmanager
def hoarding(shelf: Shelf, hoard: Path) -> Iterator[None]:
    """Keep a copy of every pack that ever lies there, on the disk of the hoard."""
    hoard.mkdir(parents=True, exist_ok=True)
    done = Event()

    def keep() -> None:
        while not done.is_set():
            with suppress(OSError):  # a pack went, or its disk did
                for path in shelf.packs:
                    if not (hoard / path.name).exists():
                        os.replace(shutil.copyfile(path, hoard.parent / "copying"), hoard / path.name)
            done.wait(0.005)

    thread = Thread(target=keep)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _readable_marks(shelf: Shelf, hoard: Path, folder: Path, empty: Path, destroyed: set[str]) -> list[str]:
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
