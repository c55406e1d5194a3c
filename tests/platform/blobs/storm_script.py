"""One of several processes that put, name, give up, destroy and collect at once, until it is killed.

Run as ``python -m tests.platform.blobs.storm_script HOME DATABASE_URL TENANT WORKER ROUNDS``; the journal says before
each deed what is begun and after it what was acknowledged.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np
import sqlalchemy as sa

import tunery.identity.tables  # noqa: F401 - every row is of a tenant
from tunery.errors import Conflict, Unavailable
from tunery.kit.clock import now
from tunery.kit.digests import sha256_bytes
from tunery.platform.blobs.collecting import collect
from tunery.platform.blobs.destroying import destroy
from tunery.platform.blobs.rebuilding import rebuild
from tunery.platform.blobs.tables import BlobRow, Segment
from tunery.platform.ground import Ground
from tunery.platform.jobs.tables import Job
from tunery.settings import Settings

GRACE = timedelta(hours=1)


def file_of(tag: str) -> bytes:
    """The file of a tag: a model that shares tensors with others, is a near copy of some and bears the tag."""
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
    """Does random deeds to files of its own, which share segments with those of all others."""

    ground: Ground
    tenant_id: str
    name: str
    journal: int
    held: dict[str, str] = field(default_factory=dict)
    """Digest by tag of the files that a row names."""

    def work(self, rounds: int) -> None:
        rng = random.Random(self.name)
        deeds: list[tuple[int, Callable[[str, random.Random], None]]] = [
            (8, self.put), (3, self.give_up), (3, self.destroy), (4, self.read), (4, self.collect), (1, self.rotate),
        ]  # fmt: skip
        for number in range(rounds):
            (deed,) = rng.choices([deed for _, deed in deeds], [weight for weight, _ in deeds])
            try:
                deed(f"{self.name}-{number}", rng)
            except (Conflict, Unavailable) as error:
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

    def read(self, _tag: str, rng: random.Random) -> None:
        for tag in rng.sample([*self.held], min(3, len(self.held))):
            assert self.ground.blobs.read(self.tenant_id, self.held[tag]) == file_of(tag)

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
                old = sa.update(BlobRow).where(BlobRow.digest == digest)
                session.execute(old.values(touched_at=now() - 2 * GRACE))
        return digest


def main() -> None:
    home, url, tenant_id, name, rounds = Path(sys.argv[1]), *sys.argv[2:6]
    ground = Ground.build(Settings(home=home, database_url=url, _env_file=None))
    journal = os.open(home.parent / f"journal-{name}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    Worker(ground, tenant_id, name, journal).work(int(rounds))


def digest_of(tag: str) -> str:
    """The digest of a tag's file."""
    return sha256_bytes(file_of(tag))


if __name__ == "__main__":
    main()
