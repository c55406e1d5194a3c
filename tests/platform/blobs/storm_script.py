"""One of several processes that put, name, give up, destroy and collect at once, until it is killed.

Run as ``python -m tests.platform.blobs.storm_script HOME DATABASE_URL TENANT WORKER PART ROUNDS``; the journal says
before each deed what is begun and after it what was acknowledged.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np
import sqlalchemy as sa

import tunery.identity.tables  # noqa: F401 - every row is of a tenant
from tunery.errors import Conflict, Exhausted, Unavailable
from tunery.kit.clock import now
from tunery.kit.digests import sha256_bytes
from tunery.kit.ids import new_id
from tunery.platform.blobs.collecting import collect
from tunery.platform.blobs.destroying import destroy
from tunery.platform.blobs.rebuilding import rebuild
from tunery.platform.blobs.tables import BlobRow, Segment
from tunery.platform.ground import Ground
from tunery.platform.jobs.tables import Job
from tunery.settings import Settings

GRACE = timedelta(hours=1)
PARTS: dict[str, dict[str, int]] = {
    "anything": {
        "put": 8, "give_up": 3, "destroy": 3, "read": 4, "collect": 4, "rotate": 1, "put_again": 4, "let_again": 3,
    },
    "collecting": {"collect": 1},
    "coming back": {"put_again": 6, "let_again": 5, "read": 1},
}  # fmt: skip
"""How often a worker does what, by the part it plays."""
COMMON = 6
"""So many files are put and let go by everybody."""


def file_of(tag: str) -> bytes:
    """The file of a tag: a model that shares tensors with others, is a near copy of some and bears the tag."""
    tag = tag.partition("@")[0]
    rng = random.Random(tag)
    if rng.random() < 0.2:
        return f"tiny, marked {tag}.".encode()
    parts = {f"shared.{k}": np.random.default_rng(k).bytes(66_000) for k in rng.sample(range(5), 2)}
    floats = np.random.default_rng(90 + rng.randrange(2)).standard_normal(40_000, np.float32)
    words = (floats.view(np.uint32) >> 16).astype(np.uint16)
    parts["weights"] = (words + np.random.default_rng(rng.randrange(4)).integers(0, 2, words.size, np.uint16)).tobytes()
    parts["mark"] = f"marked {tag}.".encode() * 5000
    header, start = {}, 0
    for name, data in parts.items():
        kind, size = ("BF16", len(data) // 2) if name == "weights" else ("U8", len(data))
        header[name] = {"dtype": kind, "shape": [size], "data_offsets": [start, start + len(data)]}
        start += len(data)
    said = json.dumps(header).encode()
    return len(said).to_bytes(8, "little") + said + b"".join(parts.values())


@dataclass
class Worker:
    """Does random deeds to files of its own, which share segments with those of all others, and to common files."""

    ground: Ground
    tenant_id: str
    name: str
    journal: int
    folder: Path
    held: dict[str, str] = field(default_factory=dict)
    """Digest by tag of the files that a row names."""
    common: dict[str, str] = field(default_factory=dict)
    """Digest by ``tag@row`` of the common files that a row of this worker names."""

    def work(self, part: str, rounds: int) -> None:
        rng = random.Random(self.name)
        deeds = PARTS[part]
        for number in range(rounds):
            (deed,) = rng.choices([*deeds], [*deeds.values()])
            try:
                getattr(self, deed)(f"{self.name}-{number}", rng)
            except (Conflict, Exhausted, Unavailable) as error:
                self.say("refused", type(error).__name__)

    def say(self, *words: str) -> None:
        os.writev(self.journal, [" ".join(words).encode() + b"\n"])

    def put(self, tag: str, rng: random.Random) -> None:
        like = rng.choice([*self.held.values()]) if self.held else None
        digest = self.ground.blobs.put(self.tenant_id, file_of(tag), like=like).digest
        with self.ground.database.session(self.tenant_id) as session:
            session.add(Job(kind="test", payload={"file": digest}))
        self.held[tag] = digest
        self.say("named", tag)

    def give_up(self, _tag: str, rng: random.Random) -> None:
        if self.held:
            self._unname(rng.choice([*self.held]))

    def destroy(self, _tag: str, rng: random.Random) -> None:
        if not self.held:
            return
        tag = rng.choice([*self.held])
        digest = self._unname(tag, aged=False)
        destroy(self.ground.blobs, self.tenant_id, [digest])
        self.say("destroyed", tag)
        assert not self.ground.blobs.exists(self.tenant_id, digest)

    def put_again(self, _tag: str, rng: random.Random) -> None:
        """Put what is there, or was let go or collected a moment ago, or is so just now."""
        tag = f"common-{rng.randrange(COMMON)}"
        with self._alone(tag, fcntl.LOCK_SH):
            digest = self.ground.blobs.put(self.tenant_id, file_of(tag)).digest
            row = new_id()
            with self.ground.database.session(self.tenant_id) as session:
                session.add(Job(id=row, kind="test", payload={"file": digest}))
        self.common[f"{tag}@{row}"] = digest
        self.say("named", f"{tag}@{row}")

    def let_again(self, _tag: str, rng: random.Random) -> None:
        """Let a common file go; it grows old at once, unless somebody is putting it: that one's grace is not forged."""
        if not self.common:
            return
        held = rng.choice([*self.common])
        tag, _, row = held.partition("@")
        self.say("letting", held)
        digest = self.common.pop(held)
        with self.ground.database.session(self.tenant_id) as session:
            session.execute(sa.delete(Job).where(Job.id == row))
        with suppress(BlockingIOError), self._alone(tag, fcntl.LOCK_EX | fcntl.LOCK_NB):
            self._age(digest)

    @contextmanager
    def _alone(self, tag: str, how: int) -> Iterator[None]:
        descriptor = os.open(self.folder / f"lock-{tag}", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)

    def read(self, _tag: str, rng: random.Random) -> None:
        held = {**self.held, **self.common}
        for tag in rng.sample([*held], min(3, len(held))):
            assert self.ground.blobs.read(self.tenant_id, held[tag]) == file_of(tag)

    def collect(self, _tag: str, _rng: random.Random) -> None:
        with self.ground.database.session(self.tenant_id) as session:
            session.execute(sa.update(Segment).values(touched_at=now() - 2 * GRACE))
        collect(self.ground.blobs, self.tenant_id, grace=GRACE)
        self.say("collected")

    def rotate(self, _tag: str, rng: random.Random) -> None:
        self.ground.blobs.keyring.rotate(self.tenant_id)
        if rng.random() < 0.5:
            rebuild(self.ground.blobs, self.tenant_id)
        self.say("rotated")

    def _unname(self, tag: str, *, aged: bool = True) -> str:
        digest = self.held.pop(tag)
        self.say("letting", tag)
        with self.ground.database.session(self.tenant_id) as session:
            session.execute(sa.delete(Job).where(Job.payload["file"].as_string() == digest))
        if aged:
            self._age(digest)
        return digest

    def _age(self, digest: str) -> None:
        with self.ground.database.session(self.tenant_id) as session:
            session.execute(sa.update(BlobRow).where(BlobRow.digest == digest).values(touched_at=now() - 2 * GRACE))


def main() -> None:
    home, url, tenant_id, name, part, rounds = Path(sys.argv[1]), *sys.argv[2:7]
    ground = Ground.build(Settings(home=home, database_url=url, _env_file=None))
    journal = os.open(home.parent / f"journal-{name}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    Worker(ground, tenant_id, name, journal, home.parent).work(part, int(rounds))


def digest_of(tag: str) -> str:
    """The digest of a tag's file."""
    return sha256_bytes(file_of(tag))


if __name__ == "__main__":
    main()
