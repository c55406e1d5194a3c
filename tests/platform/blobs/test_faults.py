"""A store that is killed, or whose disk refuses, at its N-th system call: restart, check, go on (F2, F8, F10, F22).

The calls are counted and broken by ``strace``, in SQLite as in our own code. ``make test-faults`` breaks each of them
in each way, ``make test`` some, drawn anew by a seed that a failure prints.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import pytest
import sqlalchemy as sa

from tests.faults import EVERY, Injected
from tests.fixtures import make_actor
from tests.platform.blobs import fault_scenario as scenario
from tests.platform.blobs.conftest import Shelf
from tunery.identity.tables import Tenant
from tunery.kit.digests import sha256_bytes
from tunery.platform.blobs import BlobStore
from tunery.platform.blobs.backends import LocalBackend
from tunery.platform.blobs.checking import check
from tunery.platform.blobs.collecting import collect
from tunery.platform.blobs.rebuilding import rebuild
from tunery.platform.blobs.segments import find_segments
from tunery.platform.blobs.usage import use_of
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import SWEEPS
from tunery.settings import Settings

CALLS = ("write", "pwrite64", "fsync", "rename", "unlink", "mkdir", "chmod", "ftruncate", "openat")
FAULTS = ("signal=SIGKILL", "error=EIO", "error=ENOSPC")
DOOMED = sha256_bytes(scenario.DOOMED)
FILES = {sha256_bytes(data): data for data in (*scenario.STANDING.values(), *scenario.NEW.values())}


@dataclass(frozen=True)
class Fault:
    """What happens at the ``number``-th call of a name in a thread."""

    call: str
    number: int
    effect: str


@dataclass(frozen=True)
class Fixture:
    """A store with files in it, to be copied for each fault, an empty database, and who lives days."""

    home: Path
    empty: Path
    tenant_id: str
    living: subprocess.Popen[str]
    asking: Lock


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Fixture]:
    if shutil.which("strace") is None:
        pytest.skip("strace is not here: `make test-faults` installs it, or `apt-get install strace`")
    home = tmp_path_factory.mktemp("filled") / "home"
    home.mkdir(mode=0o700)
    shutil.copy(sqlite_template, home / "tunery.sqlite")
    ground = Ground.build(Settings(home=home, _env_file=None))
    tenant_id = make_actor(ground, "acme").tenant_id
    scenario.prepare(ground, tenant_id)
    ground.database.close()
    script = [sys.executable, "-m", scenario.__name__]
    with subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as living:
        yield Fixture(home, sqlite_template, tenant_id, living, Lock())


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("effect", FAULTS if EVERY else ["any"])
@pytest.mark.parametrize("call", CALLS if EVERY else ["any"])
def test_a_fault_at_any_system_call_loses_nothing_and_leaves_nothing(
    filled: Fixture, tmp_path: Path, call: str, effect: str, injected: Injected
) -> None:
    numbers = _numbers(filled, tmp_path / "counted")
    faults = [Fault(name, number, way) for name in CALLS for number in sorted(numbers[name]) for way in FAULTS]
    assert len(faults) > 1000
    seed = random.SystemRandom().randrange(10**6)
    if EVERY:
        faults = [fault for fault in faults if (fault.call, fault.effect) == (call, effect)]
    else:
        faults = random.Random(seed).sample(faults, 6)
    with ThreadPoolExecutor(2) as threads:
        outcomes = [*zip(faults, threads.map(lambda fault: _suffer(filled, tmp_path, fault), faults), strict=True)]
    assert [(fault, problem) for fault, (_, problem) in outcomes if problem] == [], f"seed {seed}"
    fired = sum(fired for _, (fired, _) in outcomes)
    assert fired > 0.9 * len(faults) - 1, "calls are counted that are not made"
    injected(fired)


def _numbers(filled: Fixture, folder: Path) -> dict[str, set[int]]:
    """Live the whole day undisturbed; return the numbers that its calls have in their threads.

    Of the files that are opened only those of the store count, not those of Python.
    """
    log = folder.parent / "log"
    _live(filled, folder, log, [])
    assert (folder / "journal").read_text().endswith("all\n")
    assert _faults_in(filled, folder) == ""
    seen: Counter[tuple[str, str]] = Counter()
    numbers: dict[str, set[int]] = {call: set() for call in CALLS}
    for thread, call, rest in re.findall(r"^(\d+) +(\w+)\((.*)", log.read_text(), re.MULTILINE):
        seen[thread, call] += 1
        if call != "openat" or str(folder) in rest:
            numbers[call].add(seen[thread, call])
    return numbers


def _suffer(filled: Fixture, tmp_path: Path, fault: Fault) -> tuple[bool, str]:
    """Let a fault in; tell whether it came to it, and what is wrong after the restart."""
    folder = tmp_path / f"{fault.call}-{fault.number}-{fault.effect[-4:]}"
    log = tmp_path / f"{folder.name}.log"
    _live(filled, folder, log, ["-e", f"inject={fault.call}:{fault.effect}:when={fault.number}"])
    problem = _faults_in(filled, folder)
    if not problem:
        shutil.rmtree(folder)
    told = log.read_text()
    return "INJECTED" in told or "killed by SIGKILL" in told, problem


def _live(filled: Fixture, folder: Path, log: Path, fault: list[str]) -> None:
    """Let a process live the day in a copy of the store, with a tracer on it from before its first call."""
    shutil.copytree(filled.home, folder / "home")
    assert filled.living.stdin is not None
    assert filled.living.stdout is not None
    with filled.asking:
        filled.living.stdin.write(f"{folder / 'home'} {filled.tenant_id}\n")
        filled.living.stdin.flush()
        day = int(filled.living.stdout.readline())
    command = ["strace", "-f", "-p", str(day), "-o", str(log), "-e", f"trace={','.join(CALLS)}", *fault]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        assert "attached" in said, said
        os.kill(day, signal.SIGCONT)
        tracer.communicate(timeout=120)


def _faults_in(filled: Fixture, folder: Path) -> str:
    """Restart on what is left; return what is wrong with it, or nothing."""
    ground = Ground.build(Settings(home=folder / "home", _env_file=None))
    try:
        shelf = Shelf(ground, filled.tenant_id)
        journal = folder / "journal"
        said = journal.read_text().splitlines() if journal.is_file() else []
        return "; ".join(_complaints(filled, folder, shelf, said))
    finally:
        ground.database.close()


def _complaints(filled: Fixture, folder: Path, shelf: Shelf, said: list[str]) -> Iterator[str]:
    kept = [*scenario.STANDING, *(line.removeprefix("put ") for line in said if line.startswith("put "))]
    yield from _unread(shelf, kept, "acknowledged")
    for digest, data in FILES.items():
        if shelf.store.exists(shelf.tenant_id, digest) and shelf.read(digest) != data:
            yield f"{digest} is half there"
    yield from (f"check: {damage}" for damage in check(shelf.store, shelf.tenant_id))
    if "destroyed" in said:
        yield from _readable(filled, folder / "proof", shelf)

    scenario.live(shelf.ground, shelf.tenant_id, folder / "journal")
    dict(SWEEPS)["staged packs"](shelf.ground, 0)
    told = collect(shelf.store, shelf.tenant_id, grace=scenario.NO_GRACE)
    if told.freed_bytes:
        yield f"{told.freed_bytes} bytes were left to a second collection"
    yield from _unread(shelf, [*scenario.STANDING, *scenario.NEW], "after the restart")
    yield from (f"check after the restart: {damage}" for damage in check(shelf.store, shelf.tenant_id))
    yield from _readable(filled, folder / "proof again", shelf)
    known = {row.id for row in shelf.pack_rows()}
    home = shelf.ground.settings.home
    for path in [*shelf.leftovers, *(p for p in shelf.packs if p.name not in known), *(home / "store").rglob(".*")]:
        yield f"left over: {path.relative_to(home)}"
    with shelf.ground.database.session(shelf.tenant_id, read_only=True) as session:
        use = use_of(session)
    if use.stored_bytes != sum(path.stat().st_size for path in shelf.packs):
        yield f"usage says {use.stored_bytes} bytes are stored"


def _unread(shelf: Shelf, names: list[str], when: str) -> Iterator[str]:
    data = {**scenario.STANDING, **scenario.NEW}
    for name in names:
        try:
            if shelf.read(sha256_bytes(data[name])) != data[name]:
                yield f"{when}: {name} is another file"
        except Exception as error:  # noqa: BLE001 every way to fail is the answer
            yield f"{when}: {name} cannot be read: {error}"


def _readable(filled: Fixture, folder: Path, shelf: Shelf) -> Iterator[str]:
    """Try to bring the destroyed file back from a copy of every pack and the keys that are left."""
    packs = folder / "packs"
    home = shelf.ground.settings.home
    shutil.copytree(filled.home / "store" / "packs", packs)
    shutil.copytree(home / "store" / "packs", packs, dirs_exist_ok=True)
    shutil.copy(filled.empty, folder / "fresh.sqlite")
    fresh = Ground.build(Settings(home=home, database_url=f"sqlite:///{folder}/fresh.sqlite", _env_file=None))
    with fresh.database.system_session("a test makes a tenant") as session:
        session.add(Tenant(id=shelf.tenant_id, name="acme"))
    store = BlobStore(fresh.database, LocalBackend(packs), fresh.blobs.keyring, folder)
    rebuild(store, shelf.tenant_id)
    if store.exists(shelf.tenant_id, DOOMED):
        yield "the destroyed file was rebuilt"
    with fresh.database.session(shelf.tenant_id, read_only=True) as session:
        found = find_segments(session, sa.true())
    if any(b"the person the person" in bytes(store.reader.content(shelf.tenant_id, one)) for one in found):
        yield "a piece of the destroyed file can be read"
    fresh.database.close()
