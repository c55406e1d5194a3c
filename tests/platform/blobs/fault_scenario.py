"""What a store does in a day, as processes that a test breaks off: put, put a near copy, collect, destroy, rotate keys.

Run as ``python -m tests.platform.blobs.fault_scenario``: for each line ``HOME TENANT`` that comes, a process is forked
that waits to be continued and lives the day; its number is the answer. Python and its libraries are loaded once, and
their calls are not counted. A line on the journal says what was acknowledged; it is written by ``writev``, so that a
fault in ``write`` never hits it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import numpy as np
import sqlalchemy as sa

import tunery.identity.tables  # noqa: F401 - every row is of a tenant
from tunery.errors import TuneryError
from tunery.platform.blobs.collecting import collect
from tunery.platform.blobs.destroying import destroy
from tunery.platform.ground import Ground
from tunery.platform.jobs.tables import Job
from tunery.rooms import load_rooms
from tunery.settings import Settings

NO_GRACE = timedelta(0)


def model(seed: int, moved: int = 0) -> bytes:
    """A safetensors file of four bfloat16 tensors; ``moved`` makes a near copy of it."""
    floats = np.random.default_rng(seed).standard_normal(160_000, np.float32)
    words = (floats.view(np.uint32) >> 16).astype(np.uint16)
    if moved:
        words += np.random.default_rng(moved).choice(np.array([0, 0, 0, 0, 1, 2], np.uint16), words.size)
    size = 2 * words.size // 4
    tensors = {
        f"layer.{n}": {"dtype": "BF16", "shape": [size // 2], "data_offsets": [n * size, (n + 1) * size]}
        for n in range(4)
    }
    header = json.dumps(tensors).encode()
    return len(header).to_bytes(8, "little") + header + words.tobytes()


def noise(seed: int, size: int) -> bytes:
    """Bytes without any order."""
    return np.random.default_rng(seed).bytes(size)


SHARED = noise(1, 150_000)
STANDING = {"base": model(1), "near": model(1, 2), "beside": SHARED + noise(3, 1000), "tiny": b"tiny"}
"""Files that lie in the store before, and that a row names."""
UNNAMED = noise(4, 90_000)
DOOMED = SHARED + b"the person " * 9000
NEW = {"new base": model(5), "new near": model(5, 6), "nearer": model(1, 7)}


def name(ground: Ground, tenant_id: str, digest: str) -> None:
    """Let a row name a file."""
    with ground.database.session(tenant_id) as session:
        session.add(Job(kind="test", payload={"file": digest}))


def prepare(ground: Ground, tenant_id: str) -> dict[str, str]:
    """Fill a store with what lies there before; return the digests by name."""
    digests: dict[str, str] = {}
    for what, data in {**STANDING, "doomed": DOOMED, "unnamed": UNNAMED}.items():
        digests[what] = ground.blobs.put(tenant_id, data, like=digests.get("base")).digest
        if what != "unnamed":
            name(ground, tenant_id, digests[what])
    return digests


def live(ground: Ground, tenant_id: str, journal: Path) -> None:
    """Do the day's work; what was done before a fault is done again or found done."""
    said = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    store = ground.blobs

    def say(what: str) -> None:
        os.writev(said, [f"{what}\n".encode()])

    digests: dict[str, str] = {}
    for what, data in NEW.items():
        like = digests.get("new base") if what == "new near" else store.put(tenant_id, STANDING["base"]).digest
        digests[what] = store.put(tenant_id, data, like=like).digest
        name(ground, tenant_id, digests[what])
        say(f"put {what}")
    collect(store, tenant_id, grace=NO_GRACE)
    say("collected")
    doomed = _digest(DOOMED)
    if store.exists(tenant_id, doomed):
        with ground.database.session(tenant_id) as session:
            session.execute(sa.delete(Job).where(Job.payload["file"].as_string() == doomed))
        destroy(store, tenant_id, [doomed])
        say("destroyed")
    store.keyring.rotate(tenant_id)
    say("rotated")
    collect(store, tenant_id, grace=NO_GRACE)
    say("all")
    os.close(said)


def _digest(data: bytes) -> str:
    from tunery.kit.digests import sha256_bytes

    return sha256_bytes(data)


def _day(home: Path, tenant_id: str) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.kill(os.getpid(), signal.SIGSTOP)
    try:
        live(Ground.build(Settings(home=home, _env_file=None)), tenant_id, home.parent / "journal")
    except TuneryError:
        os._exit(3)
    os._exit(0)


if __name__ == "__main__":
    load_rooms()
    import pyarrow.compute  # noqa: F401 - what the day would load first

    for line in sys.stdin:
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        home, tenant = line.split()
        child = os.fork()
        if child == 0:
            _day(Path(home), tenant)
        os.waitpid(child, os.WUNTRACED)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
