"""Puts six files into a store and says what became of each; run under a tracer that lets the disk fail.

python -m tests.platform.blobs.disk_script HOME TENANT
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from tunery.errors import TuneryError
from tunery.platform.ground import Ground
from tunery.rooms import load_rooms
from tunery.settings import Settings


def content(number: int) -> bytes:
    """The bytes of a file."""
    return random.Random(number).randbytes(50_000)


def main(home: Path, tenant_id: str) -> None:
    """Put, tell, and read back what was kept."""
    load_rooms()
    ground = Ground.build(Settings(home=home, _env_file=None))
    kept: dict[str, bytes] = {}
    for number in range(6):
        try:
            digest = ground.blobs.put(tenant_id, content(number)).digest
        except TuneryError as error:
            print(f"refused {number} {type(error).__name__} {error.message}", flush=True)
        else:
            kept[digest] = content(number)
            print(f"kept {number} {digest}", flush=True)
    for digest, data in kept.items():
        assert ground.blobs.read(tenant_id, digest) == data
    print("read", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
