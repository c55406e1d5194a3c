"""What a collection says it frees is what the disk has more room for, to the byte, and a dry run says it before."""

from __future__ import annotations

import errno
import json
from datetime import timedelta
from typing import Any

import pytest

from tests.platform.blobs.conftest import Shelf
from tests.platform.blobs.fault_scenario import name, noise
from tests.stored import flip_a_bit
from tunery.errors import Exhausted
from tunery.platform.blobs import collecting
from tunery.platform.blobs.collecting import Collected, collect
from tunery.platform.blobs.packs import PackWriter


def collected(shelf: Shelf, *, dry_run: bool = False) -> Collected:
    return collect(shelf.store, shelf.tenant_id, grace=timedelta(0), dry_run=dry_run)


def tensors(*contents: bytes) -> bytes:
    """A safetensors file; each tensor becomes a segment."""
    header, start = dict[str, Any](), 0
    for number, content in enumerate(contents):
        end = start + len(content)
        header[f"t{number}"] = {"dtype": "U8", "shape": [len(content)], "data_offsets": [start, end]}
        start = end
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + b"".join(contents)


def half_kept(shelf: Shelf, seed: int, kept_bytes: int, dead_bytes: int) -> str:
    """Keep two tensors, of which a named file needs the first alone; return its digest."""
    kept = noise(seed, kept_bytes)
    shelf.put(tensors(kept, noise(seed + 100, dead_bytes)))
    digest = shelf.put(tensors(kept))
    name(shelf.ground, shelf.tenant_id, digest)
    return digest


def length(shelf: Shelf) -> int:
    return sum(path.stat().st_size for path in shelf.packs)


@pytest.mark.parametrize("many", [4, 1000], ids=["joined", "not joined"])
def test_a_dry_run_says_to_the_byte_what_the_disk_gets_back(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(collecting, "_MANY_SMALL", many)
    mostly_alive = [half_kept(shelf, seed, 90_000, 70_000) for seed in range(3)]
    mostly_dead = [half_kept(shelf, seed, 70_000, 90_000) for seed in range(10, 13)]
    shelf.put(noise(20, 100_000))
    flip_a_bit(shelf.ground, shelf.tenant_id, mostly_dead[0])
    lost = PackWriter(shelf.tenant_id, shelf.store.staging, shelf.store.keyring)
    lost.place(shelf.store.backend, [])  # and a crash before its row
    told, before = collected(shelf, dry_run=True), length(shelf)
    assert length(shelf) == before
    assert collected(shelf) == told
    assert told.freed_bytes == before - length(shelf)
    dead = 90_000 + (0 if many == 4 else 3 * 70_000)  # of the damaged one; of those that are mostly alive
    assert dead < told.kept_bytes < dead + 4 * 200, "their headers are dead, too"
    for digest in (*mostly_alive, *mostly_dead[1:]):
        assert shelf.read(digest)
    assert collected(shelf, dry_run=True).freed_bytes == 0


def test_a_full_disk_gets_back_what_is_wholly_dead(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = half_kept(shelf, 1, 50_000, 200_000)
    shelf.put(noise(2, 500_000))
    before = length(shelf)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(PackWriter, "place", full)
        with pytest.raises(Exhausted, match="500.. kB were given back before that"):
            collected(shelf)
    assert 500_000 < before - length(shelf) < 502_000
    assert collected(shelf).freed_bytes > 200_000
    assert shelf.read(kept)
