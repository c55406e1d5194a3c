"""Bytes by digest: whole or absent, verified, sealed, apart for each tenant."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.platform.blobs.conftest import Shelf
from tunery.errors import IntegrityError, InvalidInput, NotFound, TooLarge
from tunery.kit.actor import Actor

DATA = random.Random(7).randbytes(700_000) + b"some text that repeats. " * 20_000
DIGEST = hashlib.sha256(DATA).hexdigest()


def test_bytes_come_back_by_their_digest_whole_and_by_range(shelf: Shelf) -> None:
    blob = shelf.store.put(shelf.tenant_id, DATA)
    assert (blob.digest, blob.size_bytes) == (DIGEST, 1_180_000)
    assert shelf.read(DIGEST) == DATA
    for start, length in [(5, 7), (0, 1), (699_999, 2), (1_179_990, 100), (65_530, 200_000), (1_180_000, 5)]:
        assert b"".join(shelf.store.open(shelf.tenant_id, DIGEST, start, length)) == DATA[start : start + length]
    assert b"".join(shelf.store.open(shelf.tenant_id, DIGEST, 1_179_995)) == DATA[1_179_995:]


def test_no_bytes_at_all_are_a_file_too(shelf: Shelf) -> None:
    digest = shelf.put(b"")
    assert (shelf.read(digest), shelf.store.size(shelf.tenant_id, digest)) == (b"", 0)


def test_equal_bytes_are_kept_once(shelf: Shelf) -> None:
    for source in (DATA, iter([DATA[:10], DATA[10:]])):
        shelf.store.put(shelf.tenant_id, source)
    assert len(shelf.packs) == 1
    assert shelf.packs[0].stat().st_size < len(DATA)
    shelf.put(DATA + b"and a little more")
    assert len(shelf.packs) == 2
    assert min(path.stat().st_size for path in shelf.packs) < 300_000
    assert shelf.leftovers == []


def test_neither_content_nor_names_can_be_read_in_the_store(shelf: Shelf) -> None:
    shelf.put(b"the secret of the house " * 1000)
    raw = b"".join(path.read_bytes() for path in shelf.ground.settings.home.rglob("*") if path.is_file())
    assert b"the secret of the house" not in shelf.packs[0].read_bytes()
    assert raw.count(b"the secret of the house") == 0


def test_another_tenant_has_none_of_it(shelf: Shelf, stranger: Actor) -> None:
    shelf.put(DATA)
    assert not shelf.store.exists(stranger.tenant_id, DIGEST)
    with pytest.raises(NotFound):
        shelf.store.read(stranger.tenant_id, DIGEST)
    shelf.store.put(stranger.tenant_id, DATA)
    assert len({row.pack_id for row in shelf.segments()}) == 1
    assert len(list(shelf.packs[0].parent.parent.iterdir())) == 2


def test_what_was_not_expected_or_is_too_large_is_not_kept(shelf: Shelf) -> None:
    with pytest.raises(InvalidInput, match=DIGEST):
        shelf.store.put(shelf.tenant_id, DATA, expected_digest="0" * 64)
    with pytest.raises(TooLarge):
        shelf.store.put(shelf.tenant_id, DATA, max_bytes=9_999)
    assert (shelf.packs, shelf.leftovers, shelf.segments()) == ([], [], [])


def test_a_broken_upload_leaves_nothing(shelf: Shelf) -> None:
    def broken() -> Iterator[bytes]:
        yield DATA
        raise ConnectionError

    with pytest.raises(ConnectionError):
        shelf.store.put(shelf.tenant_id, broken())
    assert (shelf.packs, shelf.leftovers, shelf.segments()) == ([], [], [])


@pytest.mark.parametrize("change", ["flip", "cut", "empty", "gone"])
def test_damaged_bytes_are_refused(shelf: Shelf, tmp_path: Path, change: str) -> None:
    shelf.put(DATA)
    (path,) = shelf.packs
    path.chmod(0o600)
    data = path.read_bytes()
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(
            {"flip": data[:900] + bytes([data[900] ^ 1]) + data[901:], "cut": data[:9000], "empty": b""}[change]
        )
    with pytest.raises(IntegrityError):
        shelf.store.checkout(shelf.tenant_id, DIGEST, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(IntegrityError):
        shelf.read(DIGEST)


def test_a_copy_that_was_changed_is_put_right(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put(DATA)
    target = tmp_path / "out"
    shelf.store.checkout(shelf.tenant_id, DIGEST, target)
    first = target.stat().st_ino
    shelf.store.checkout(shelf.tenant_id, DIGEST, target)
    assert target.stat().st_ino == first
    target.chmod(0o600)
    target.write_bytes(DATA[:-1] + b"!")
    shelf.store.checkout(shelf.tenant_id, DIGEST, target)
    assert target.read_bytes() == DATA


def test_a_link_in_the_store_is_not_followed(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put(DATA)
    (path,) = shelf.packs
    moved = tmp_path / "elsewhere"
    path.rename(moved)
    path.symlink_to(moved)
    with pytest.raises((IntegrityError, OSError)):
        shelf.read(DIGEST)


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "A" * 64, "../" + "0" * 61, "sha256:" + "0" * 57])
def test_what_is_no_digest_never_becomes_a_path(shelf: Shelf, digest: str) -> None:
    with pytest.raises(InvalidInput):
        shelf.read(digest)


def test_the_same_file_from_many_at_once_is_one_file(shelf: Shelf) -> None:
    files = [DATA, DATA[:600_000] + b"x", DATA[100_000:]] * 4
    with ThreadPoolExecutor(6) as threads:
        digests = list(threads.map(shelf.put, files))
    assert [shelf.read(digest) for digest in digests] == files
    hashes = [row.hash for row in shelf.segments()]
    assert len(hashes) == len(set(hashes))
