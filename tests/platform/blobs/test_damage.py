"""Bytes that changed where they lie are found, named, and never handed out (F20, F21)."""

from __future__ import annotations

import errno
import os
import random
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.faults import ROUNDS, Injected
from tests.platform.blobs.conftest import Shelf
from tests.platform.blobs.fault_scenario import model, noise
from tunery.errors import IntegrityError, Unavailable
from tunery.kit.actor import Actor
from tunery.platform.blobs import BlobStore
from tunery.platform.blobs.backends import LocalBackend
from tunery.platform.blobs.checking import check, mend
from tunery.platform.blobs.rebuilding import rebuild
from tunery.platform.blobs.tables import Pack, Segment

FLIPS = 100 * ROUNDS or 20


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(data)


def pack_of(shelf: Shelf, digest: str) -> Path:
    """The one pack that was written last."""
    (path,) = [path for path in shelf.packs if path.name == max(one.name for one in shelf.packs)]
    assert shelf.store.exists(shelf.tenant_id, digest)
    return path


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_every_flipped_bit_is_found_and_named(shelf: Shelf, injected: Injected) -> None:
    files = {shelf.put(model(1)): model(1)}
    near = shelf.put(model(1, 2), like=next(iter(files)))
    files[near] = model(1, 2)
    files[shelf.put(b"tiny")] = b"tiny"
    assert list(check(shelf.store, shelf.tenant_id)) == []
    seed = random.SystemRandom().randrange(10**6)
    rng = random.Random(seed)
    for _ in range(FLIPS):
        path = rng.choice(shelf.packs)
        good = path.read_bytes()
        position = rng.randrange(len(good))
        overwrite(path, good[:position] + bytes([good[position] ^ 1 << rng.randrange(8)]) + good[position + 1 :])
        damages = list(check(shelf.store, shelf.tenant_id))
        rows = {row.number: row for row in shelf.segments()}
        hit = [r for r in rows.values() if r.pack_id == path.name and r.offset <= position < r.offset + r.stored_size]
        bad = {row.hash.hex() for row in hit}
        bad |= {row.hash.hex() for row in rows.values() if row.reference_number in {one.number for one in hit}}
        assert path.name in {damage.pack_id for damage in damages}, (seed, path.name, position)
        assert {name for damage in damages for name in damage.segments} == bad, (seed, path.name, position)
        named = {digest for damage in damages for digest in damage.files}
        for digest, data in files.items():
            if digest in named:
                with pytest.raises(IntegrityError):
                    shelf.read(digest)
            else:
                assert shelf.read(digest) == data
        assert bool(named) == bool(hit)
        overwrite(path, good)
    assert list(check(shelf.store, shelf.tenant_id)) == []
    injected(FLIPS)


def test_packs_that_changed_places_are_refused(shelf: Shelf) -> None:
    digests = [shelf.put(noise(seed, 100_000)) for seed in (1, 2)]
    one, other = shelf.packs
    first, second = one.read_bytes(), other.read_bytes()
    assert len(first) - len(second) in range(-50, 50)
    overwrite(one, second)
    overwrite(other, first)
    for digest in digests:
        with pytest.raises(IntegrityError):
            shelf.read(digest)
    assert {damage.pack_id for damage in check(shelf.store, shelf.tenant_id)} == {one.name, other.name}
    assert {*rebuild(shelf.store, shelf.tenant_id).unreadable} == {one.name, other.name}


def test_records_that_changed_places_in_a_pack_are_refused(shelf: Shelf) -> None:
    digest = shelf.put(noise(1, 3_000_000))
    (path,) = shelf.packs
    one, other = shelf.segments()[:2]
    data = bytearray(path.read_bytes())
    length = min(one.stored_size, other.stored_size)
    first, second = data[one.offset : one.offset + length], data[other.offset : other.offset + length]
    data[one.offset : one.offset + length], data[other.offset : other.offset + length] = second, first
    overwrite(path, bytes(data))
    with pytest.raises(IntegrityError):
        shelf.read(digest)
    (damage,) = check(shelf.store, shelf.tenant_id)
    assert sorted(damage.segments) == sorted(row.hash.hex() for row in (one, other))


def test_rows_that_point_to_anothers_record_are_refused(shelf: Shelf) -> None:
    digest = shelf.put(noise(1, 3_000_000))
    one, other = shelf.segments()[:2]
    place = {"ordinal": other.ordinal, "offset": other.offset, "stored_size": other.stored_size}
    with shelf.ground.database.session(shelf.tenant_id) as session:
        session.execute(sa.update(Segment).where(Segment.number == one.number).values(**place))
    with pytest.raises(IntegrityError):
        shelf.read(digest)
    (damage,) = check(shelf.store, shelf.tenant_id)
    assert (damage.segments, damage.files) == ([one.hash.hex()], [digest])


@pytest.mark.parametrize("length", [0, 1, 41, 57, 58, 5_000])
def test_packs_that_were_cut_off_are_refused_and_named(shelf: Shelf, length: int) -> None:
    good = shelf.put(b"good")
    digest = shelf.put(noise(1, 10_000))
    path = pack_of(shelf, digest)
    overwrite(path, path.read_bytes()[:length])
    with pytest.raises(IntegrityError):
        shelf.read(digest)
    (damage,) = check(shelf.store, shelf.tenant_id)
    assert (damage.pack_id, damage.files) == (path.name, [digest])
    assert [*rebuild(shelf.store, shelf.tenant_id).unreadable] == [path.name]
    assert shelf.read(good) == b"good"


def test_a_pack_of_another_tenant_is_refused_under_my_name(shelf: Shelf, stranger: Actor) -> None:
    mine = shelf.put(noise(1, 10_000))
    shelf.store.put(stranger.tenant_id, noise(1, 10_000))
    (path,) = shelf.packs
    (theirs,) = (path.parent.parent / stranger.tenant_id).iterdir()
    path.chmod(0o600)
    shutil.copy(theirs, path)
    with pytest.raises(IntegrityError):
        shelf.read(mine)
    keys = shelf.ground.settings.home / "store" / "keys"
    shutil.copy(keys / stranger.tenant_id / "packs" / theirs.name, keys / shelf.tenant_id / "packs" / path.name)
    shelf.store.keyring._pack_keys.clear()
    with pytest.raises(IntegrityError):
        shelf.read(mine)
    assert [damage.files for damage in check(shelf.store, shelf.tenant_id)] == [[mine]]


def test_an_index_of_yesterday_is_pointed_to_where_bytes_lie_today(shelf: Shelf) -> None:
    digest = shelf.put(noise(1, 10_000))
    (old,) = shelf.pack_rows()
    with shelf.ground.database.session(shelf.tenant_id) as session:
        session.add(Pack(size_bytes=9, checksum="", content_bytes=0, files=0))
        session.flush()
        gone = session.scalars(sa.select(Pack.id).where(Pack.id != old.id)).one()
        session.execute(sa.update(Segment).values(pack_id=gone, offset=7))
    with pytest.raises(IntegrityError):
        shelf.read(digest)
    rebuild(shelf.store, shelf.tenant_id)
    assert shelf.read(digest) == noise(1, 10_000)


def test_what_lies_in_a_packs_place_and_is_no_file_is_damage_and_the_look_goes_on(shelf: Shelf) -> None:
    digests = [shelf.put(noise(seed, 10_000)) for seed in range(4)]
    link, folder, pipe, cut = paths = shelf.packs
    for path in (link, folder, pipe):
        path.rename(shelf.ground.settings.home / path.name)
    link.symlink_to(shelf.ground.settings.home / link.name)
    folder.mkdir()
    os.mkfifo(pipe)
    overwrite(cut, cut.read_bytes()[:100])
    found = {damage.pack_id: damage.files for damage in check(shelf.store, shelf.tenant_id)}
    assert found == {path.name: [digest] for path, digest in zip(paths, digests, strict=True)}
    for digest in digests[:3]:
        with pytest.raises(IntegrityError, match="cannot be read"):
            shelf.read(digest)


def test_a_bad_sector_is_damage_of_one_pack_and_mended(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = shelf.put(noise(1, 10_000))
    (path,) = shelf.packs
    shutil.copytree(path.parent.parent, tmp_path / "mirror")
    bad, read, scan = path.stat().st_ino, os.pread, os.scandir

    def failing(descriptor: int, length: int, offset: int) -> bytes:
        if os.fstat(descriptor).st_ino == bad and offset + length > 5_000:
            raise OSError(errno.EIO, "Input/output error")
        return read(descriptor, length, offset)

    def lost(folder: object) -> object:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", failing)
        (damage,) = check(shelf.store, shelf.tenant_id)
        assert damage.files == [digest]
        patch.setattr(os, "scandir", lost)
        with pytest.raises(Unavailable):
            shelf.read(digest)
        patch.setattr(os, "scandir", scan)
        (told,) = mend(shelf.store, shelf.tenant_id, [damage], LocalBackend(tmp_path / "mirror"))
        assert (told.mended, told.not_mended) == (True, "")
    assert shelf.read(digest) == noise(1, 10_000)


def test_a_lost_key_is_told_by_the_process_that_knows_it_and_no_pack_is_set_aside_for_it(
    shelf: Shelf, tmp_path: Path
) -> None:
    digest = shelf.put(noise(1, 10_000))
    (path,) = shelf.packs
    shutil.copytree(path.parent.parent, tmp_path / "mirror")
    told_to_put_back = "put the keys back from their copy"
    for kind in ("packs", "tenant"):
        (key,) = (shelf.ground.settings.home / "store" / "keys" / shelf.tenant_id / kind).iterdir()
        saved = key.read_bytes()
        key.unlink()
        (damage,) = check(shelf.store, shelf.tenant_id)
        assert damage.files == [digest]
        assert told_to_put_back in damage.reason
        (told,) = mend(shelf.store, shelf.tenant_id, [damage], LocalBackend(tmp_path / "mirror"))
        assert (told.mended, told.not_mended) == (False, damage.reason)
        assert not (path.parent.parent / "damaged").exists()
        another = BlobStore(shelf.store.database, shelf.store.backend, shelf.store.keyring.fresh(), shelf.store.staging)
        with pytest.raises(IntegrityError, match=told_to_put_back):
            another.read(shelf.tenant_id, digest)
        key.write_bytes(saved)
    assert [*check(shelf.store, shelf.tenant_id)] == []


def test_the_same_damage_is_set_aside_once(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put(noise(1, 10_000))
    (path,) = shelf.packs
    good = path.read_bytes()
    mirror = LocalBackend(tmp_path / "mirror")
    mirror.put(f"{shelf.tenant_id}/{path.name}", good)
    for length in (100, 100, 200):
        overwrite(path, good[:length])
        (told,) = mend(shelf.store, shelf.tenant_id, check(shelf.store, shelf.tenant_id), mirror)
        assert told.mended
    mirror.delete(f"{shelf.tenant_id}/{path.name}")
    overwrite(path, good[:100])
    (told,) = mend(shelf.store, shelf.tenant_id, check(shelf.store, shelf.tenant_id), mirror)
    assert not told.mended
    aside = path.parent.parent / "damaged" / shelf.tenant_id
    assert sorted(one.stat().st_size for one in aside.iterdir()) == [100, 200]
