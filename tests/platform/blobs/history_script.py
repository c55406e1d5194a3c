"""Any history of a store: uploads, deletions, destructions, collections, new keys, each of them killed or not.

Run as ``python -m tests.platform.blobs.history_script TEMPLATE FOLDER EXAMPLES STEPS``. Hypothesis makes the histories
up and shortens one that fails. Each deed happens in a process of its own, killed before its N-th change of the disk.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from blake3 import blake3
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.fixtures import make_actor
from tests.platform.blobs.conftest import Shelf
from tests.storage.kill_script import kill_before
from tunery.errors import NotFound
from tunery.kit.digests import sha256_bytes
from tunery.platform.blobs.backends import LocalBackend
from tunery.platform.blobs.checking import check
from tunery.platform.blobs.collecting import collect
from tunery.platform.blobs.destroying import destroy
from tunery.platform.blobs.packs import read_footer
from tunery.platform.blobs.rebuilding import rebuild
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import SWEEPS
from tunery.platform.jobs.tables import Job
from tunery.rooms import load_rooms
from tunery.settings import Settings

FILES = st.sampled_from(range(7))
KILLED = st.none() | st.integers(1, 60)
NO_GRACE = timedelta(0)
_killed = count(1)
kills = 0


@cache
def parts_of(file: int) -> dict[str, bytes]:
    """The tensors of a file: weights near those of its family, a mark of its own, and what every second one shares."""
    floats = np.random.default_rng(file % 2).standard_normal(36_000, np.float32)
    words = (floats.view(np.uint32) >> 16).astype(np.uint16)
    words += np.random.default_rng(10 + file).choice(np.array([0, 0, 0, 1], np.uint16), words.size)
    shared = {"shared": np.random.default_rng(file % 3).bytes(66_000)} if file % 2 else {}
    return {"weights": words.tobytes(), "mark": f"the mark of {file}.".encode() * 5000, **shared}


@cache
def bytes_of(file: int) -> bytes:
    """A file: a model, a tiny one or an empty one."""
    if file > 4:
        return b"tiny" if file == 5 else b""
    header, start = {}, 0
    for name, data in parts_of(file).items():
        kind, size = ("BF16", len(data) // 2) if name == "weights" else ("U8", len(data))
        header[name] = {"dtype": kind, "shape": [size], "data_offsets": [start, start + len(data)]}
        start += len(data)
    said = json.dumps(header).encode()
    return len(said).to_bytes(8, "little") + said + b"".join(parts_of(file).values())


@cache
def digest_of(file: int) -> str:
    """The digest of a file."""
    return sha256_bytes(bytes_of(file))


def own_hashes(file: int) -> set[bytes]:
    """Names of the segments that no other file holds."""
    return {blake3(parts_of(file)[name]).digest() for name in ("weights", "mark")} if file < 5 else set()


def put(shelf: Shelf, file: int, like: int) -> None:
    digest = shelf.put(bytes_of(file), like=digest_of(like))
    with shelf.ground.database.session(shelf.tenant_id) as session:
        session.add(Job(kind="test", payload={"file": digest}))


def let_go(shelf: Shelf, file: int) -> None:
    with shelf.ground.database.session(shelf.tenant_id) as session:
        session.execute(sa.delete(Job).where(Job.payload["file"].as_string() == digest_of(file)))


def destroyed(shelf: Shelf, file: int) -> None:
    let_go(shelf, file)
    destroy(shelf.store, shelf.tenant_id, [digest_of(file)])


def collected(shelf: Shelf) -> None:
    collect(shelf.store, shelf.tenant_id, grace=NO_GRACE)


def rotated(shelf: Shelf) -> None:
    shelf.store.keyring.rotate(shelf.tenant_id)


def rebuilt(shelf: Shelf) -> None:
    rebuild(shelf.store, shelf.tenant_id)


def looked_at(shelf: Shelf) -> dict[str, list[int]]:
    """Say which files are named and which are there; all of these are whole."""
    with shelf.ground.database.session(shelf.tenant_id, read_only=True) as session:
        rows = {payload["file"] for payload in session.scalars(sa.select(Job.payload).where(Job.kind == "test"))}
    here = [file for file in range(7) if shelf.store.exists(shelf.tenant_id, digest_of(file))]
    for file in here:
        assert shelf.read(digest_of(file)) == bytes_of(file), f"{file} is another file"
    assert list(check(shelf.store, shelf.tenant_id)) == []
    return {"named": [file for file in range(7) if digest_of(file) in rows], "here": here}


def at_last(shelf: Shelf, hoard: Path, gone: list[int]) -> None:
    """After a collection nothing lies there that none needs, and no pack of any day shows what was destroyed."""
    dict(SWEEPS)["staged packs"](shelf.ground, 0)
    collected(shelf)
    known = {row.id for row in shelf.pack_rows()}
    assert [*shelf.leftovers, *(path for path in shelf.packs if path.name not in known)] == []
    forbidden = {name for file in gone for name in own_hashes(file)}
    for path in (hoard / shelf.tenant_id).iterdir():
        try:
            footer = read_footer(
                LocalBackend(hoard), shelf.store.keyring, shelf.tenant_id, path.name, path.stat().st_size
            )
        except NotFound:
            continue
        assert not [one for one in footer.segments if {one.hash, one.reference} & forbidden], "it can be read"


class Store(RuleBasedStateMachine):
    """What a store was told, and what it must have made of it."""

    template: Path
    folder: Path
    tenant_id: str

    def __init__(self) -> None:
        super().__init__()
        self.home = self.folder / f"h{next(_killed)}"
        shutil.copytree(self.template, self.home / "home")
        (self.home / "hoard" / self.tenant_id).mkdir(parents=True)
        self.named: set[int] = set()
        self.here: set[int] = set()
        self.gone: set[int] = set()
        """Destroyed, and not put again."""
        self.going: set[int] = set()
        """Destroyed by somebody who was killed after the rows went: the next collection does the rest."""

    @rule(file=FILES, like=FILES, killed=KILLED)
    def put(self, file: int, like: int, killed: int | None) -> None:
        self.gone.discard(file)
        self.going.discard(file)
        was = file in self.named
        self.named.add(file)
        if not self.done(killed, put, file, like):
            self.look(unsure=set() if was else {file})

    @precondition(lambda self: self.named)
    @rule(data=st.data(), killed=KILLED)
    def let_go(self, data: Any, killed: int | None) -> None:
        file = data.draw(st.sampled_from(sorted(self.named)))
        self.named.discard(file)
        if not self.done(killed, let_go, file):
            self.look(unsure={file})

    @precondition(lambda self: self.here)
    @rule(data=st.data(), killed=KILLED)
    def destroy(self, data: Any, killed: int | None) -> None:
        file = data.draw(st.sampled_from(sorted(self.here)))
        self.named.discard(file)
        if self.done(killed, destroyed, file):
            self.gone.add(file)
            assert file not in self.here
        else:
            self.look(unsure={file})
            self.going |= {file} - self.here

    @rule(killed=KILLED)
    def collect(self, killed: int | None) -> None:
        if not self.done(killed, collected):
            self.look()
            return
        families = {file % 2 for file in self.named if file < 5}
        leaned_on = {file for file in range(5) if file % 2 in families}
        assert self.here - self.named <= leaned_on, "what none names is collected, unless a near copy may lean on it"
        self.gone |= self.going
        self.going = set()

    @rule(killed=KILLED, deed=st.sampled_from([rotated, rebuilt]))
    def rotate_or_rebuild(self, killed: int | None, deed: Callable[[Shelf], None]) -> None:
        if not self.done(killed, deed):
            self.look()

    def done(self, killed: int | None, deed: Callable[..., Any], *arguments: Any) -> bool:
        """Do a deed, and look where nobody was killed; tell whether it was acknowledged."""
        global kills
        status, said = apart(self.home / "home", self.tenant_id, killed, deed, *arguments)
        assert status in (0, -9), said
        kills += status == -9
        for path in (self.home / "home" / "store" / "packs" / self.tenant_id).glob("*"):
            if not (self.home / "hoard" / self.tenant_id / path.name).exists():
                shutil.copyfile(path, self.home / "hoard" / self.tenant_id / path.name)
        if status == 0:
            self.compare(json.loads(said), set())
        return status == 0

    def look(self, unsure: set[int] | None = None) -> None:
        """Look with a fresh process; of what was not acknowledged only the rows tell."""
        status, said = apart(self.home / "home", self.tenant_id, None, lambda _: None)
        assert status == 0, said
        self.compare(json.loads(said), unsure or set())

    def compare(self, seen: dict[str, list[int]], unsure: set[int]) -> None:
        named, self.here = set(seen["named"]), set(seen["here"])
        assert named - unsure == self.named - unsure
        self.named = named
        assert named <= self.here, "what is named is there"
        assert self.here.isdisjoint(self.gone | self.going), "what was destroyed is not"

    def teardown(self) -> None:
        status, said = apart(
            self.home / "home", self.tenant_id, None, at_last, self.home / "hoard", sorted(self.gone | self.going)
        )
        assert status == 0, said
        shutil.rmtree(self.home)


def apart(home: Path, tenant_id: str, killed: int | None, deed: Callable[..., Any], *arguments: Any) -> tuple[int, str]:
    """Do a deed in a forked process and look; return its status, and what it saw or why it failed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 0
        try:
            shelf = Shelf(Ground.build(Settings(home=home, _env_file=None)), tenant_id)
            if killed is not None:
                kill_before(killed)
            deed(shelf, *arguments)
            said = json.dumps(looked_at(shelf))
        except BaseException:  # noqa: BLE001 the parent raises it
            status, said = 1, traceback.format_exc()
        os.writev(writing, [said.encode()])
        os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        said = answer.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def main(template: Path, folder: Path, examples: int, steps: int) -> None:
    """Try so many histories; print how many deeds were killed in them."""
    load_rooms()
    Store.template, Store.folder = folder / "template", folder
    Store.template.mkdir(mode=0o700)
    shutil.copy(template, Store.template / "tunery.sqlite")
    ground = Ground.build(Settings(home=Store.template, _env_file=None))
    Store.tenant_id = make_actor(ground, "acme").tenant_id
    ground.database.close()
    run_state_machine_as_test(
        Store,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    sys.stdout.write(f"{kills}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
