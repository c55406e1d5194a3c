"""Bytes by digest: whole or absent, verified, apart for each tenant."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunery.errors import IntegrityError, InvalidInput, NotFound, TooLarge
from tunery.platform.blobs import BlobStore

DATA = b"some bytes" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    """An empty store."""
    return BlobStore(tmp_path / "blobs")


def _files(store_root: Path) -> list[Path]:
    return [path for path in store_root.rglob("*") if path.is_file()]


def test_bytes_come_back_by_their_digest_whole_and_by_range(store: BlobStore) -> None:
    blob = store.put("a", DATA)
    assert (blob.digest, blob.size_bytes) == (DIGEST, 10_000)
    assert store.read("a", DIGEST) == DATA
    assert b"".join(store.open("a", DIGEST, 5, 7)) == DATA[5:12]
    assert b"".join(store.open("a", DIGEST, 9_995)) == DATA[9_995:]


def test_equal_bytes_are_kept_once(store: BlobStore, tmp_path: Path) -> None:
    for source in (DATA, iter([DATA[:10], DATA[10:]])):
        store.put("a", source)
    assert len(_files(tmp_path)) == 1


def test_another_tenant_has_none_of_it(store: BlobStore) -> None:
    store.put("a", DATA)
    assert not store.exists("b", DIGEST)
    with pytest.raises(NotFound):
        store.read("b", DIGEST)


def test_what_was_not_expected_or_is_too_large_is_not_kept(store: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=DIGEST):
        store.put("a", DATA, expected_digest="0" * 64)
    with pytest.raises(TooLarge):
        store.put("a", DATA, max_bytes=9_999)
    assert _files(tmp_path) == []


def test_a_broken_upload_leaves_nothing(store: BlobStore, tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield DATA
        raise ConnectionError

    with pytest.raises(ConnectionError):
        store.put("a", broken())
    assert _files(tmp_path) == []


@pytest.mark.parametrize("change", ["flip", "cut", "empty"])
def test_damaged_bytes_are_refused_with_their_digest(store: BlobStore, tmp_path: Path, change: str) -> None:
    store.put("a", DATA)
    path = next(iter(_files(tmp_path)))
    path.chmod(0o600)
    damaged = {"flip": bytes([DATA[0] ^ 1]) + DATA[1:], "cut": DATA[:-1], "empty": b""}[change]
    path.write_bytes(damaged)
    with pytest.raises(IntegrityError, match=DIGEST):
        store.checkout("a", DIGEST, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    if change == "flip":
        with pytest.raises(IntegrityError, match=DIGEST):
            store.read("a", DIGEST)


def test_uploading_again_heals_a_damaged_blob(store: BlobStore, tmp_path: Path) -> None:
    store.put("a", DATA)
    path = next(iter(_files(tmp_path)))
    path.chmod(0o600)
    path.write_bytes(b"damaged")
    store.put("a", DATA)
    assert store.read("a", DIGEST) == DATA


def test_a_link_in_the_store_is_not_followed(store: BlobStore, tmp_path: Path) -> None:
    store.put("a", DATA)
    path = next(iter(_files(tmp_path)))
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    path.unlink()
    os.symlink(secret, path)
    with pytest.raises(NotFound):
        store.read("a", DIGEST)


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "A" * 64, "../" + "0" * 61, "sha256:" + "0" * 57])
def test_what_is_no_digest_never_becomes_a_path(store: BlobStore, digest: str) -> None:
    with pytest.raises(InvalidInput):
        store.read("a", digest)


def test_the_sweep_takes_only_old_staged_files(store: BlobStore, tmp_path: Path) -> None:
    store.put("a", DATA)
    staging = tmp_path / "blobs" / "a" / "staging"
    old, new = staging / "old", staging / "new"
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    os.utime(old, (0, 0))
    assert store.sweep() == 1
    assert new.exists()
    assert store.read("a", DIGEST) == DATA
