"""Near copies, collection, destruction, check, rebuild."""

from __future__ import annotations

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from numpy.typing import NDArray

from tests.platform.blobs.conftest import Shelf
from tunery.errors import NotFound
from tunery.platform.blobs import rebuilding
from tunery.platform.blobs.backends import LocalBackend
from tunery.platform.blobs.checking import check, mend
from tunery.platform.blobs.collecting import Collected, collect
from tunery.platform.blobs.destroying import destroy
from tunery.platform.blobs.emptying import empty_packs, finish_doomed
from tunery.platform.blobs.index import publish
from tunery.platform.blobs.packs import PackFacts
from tunery.platform.blobs.rebuilding import rebuild
from tunery.platform.blobs.tables import BlobRow, Pack, Piece, Segment
from tunery.platform.blobs.usage import use_of, use_of_files
from tunery.platform.jobs import Job

NO_GRACE = timedelta(0)


def model(words: NDArray[np.uint16]) -> bytes:
    """A safetensors file of eight bfloat16 tensors."""
    size = 2 * words.size // 8
    tensors = {
        f"layer.{n}": {"dtype": "BF16", "shape": [size // 2], "data_offsets": [n * size, (n + 1) * size]}
        for n in range(8)
    }
    header = json.dumps(tensors).encode()
    return len(header).to_bytes(8, "little") + header + words.tobytes()


def base_words(seed: int) -> NDArray[np.uint16]:
    floats = np.random.default_rng(seed).standard_normal(400_000, np.float32)
    return (floats.view(np.uint32) >> 16).astype(np.uint16)


def moved(words: NDArray[np.uint16], seed: int) -> NDArray[np.uint16]:
    """The same words, a third of them one or two units in the last place higher."""
    return words + np.random.default_rng(seed).choice(np.array([0, 0, 0, 0, 1, 2], np.uint16), words.size)


def family(seed: int = 1) -> tuple[bytes, bytes]:
    """A base and a near copy of it."""
    words = base_words(seed)
    return model(words), model(moved(words, seed + 1))


def name_nothing(shelf: Shelf, *, dry_run: bool = False) -> Collected:
    return collect(shelf.store, shelf.tenant_id, grace=NO_GRACE, dry_run=dry_run)


def test_a_near_copy_costs_a_fraction_and_comes_back_whole(shelf: Shelf) -> None:
    base, near = family()
    first = shelf.put(base)
    second = shelf.put(near, like=first)
    deltas = [row for row in shelf.segments() if row.reference_number]
    assert len(deltas) == 8
    assert sum(row.stored_size for row in deltas) < 0.2 * len(near)
    assert (shelf.read(first), shelf.read(second)) == (base, near)


def test_a_delta_leans_on_the_base_never_on_a_delta(shelf: Shelf) -> None:
    words = base_words(1)
    base, near, nearer = model(words), model(moved(words, 2)), model(moved(moved(words, 2), 3))
    digests = [shelf.put(base)]
    digests += [shelf.put(near, like=digests[0])]
    digests += [shelf.put(nearer, like=digests[1])]
    rows = {row.number: row for row in shelf.segments()}
    references = {row.reference_number for row in rows.values()} - {None}
    assert references
    assert all(rows[number].reference_number is None for number in references if number)
    assert [shelf.read(digest) for digest in digests] == [base, near, nearer]


def test_what_nothing_names_is_collected_and_a_dry_run_says_exactly_that(shelf: Shelf) -> None:
    digest = shelf.put(os.urandom(500_000))
    told = name_nothing(shelf, dry_run=True)
    assert shelf.read(digest)
    assert name_nothing(shelf) == told
    assert told.files == [digest]
    assert told.freed_bytes > 500_000
    assert (shelf.packs, shelf.leftovers, shelf.segments(), shelf.pack_rows()) == ([], [], [], [])
    with pytest.raises(NotFound):
        shelf.read(digest)


def test_what_was_touched_within_the_grace_stays(shelf: Shelf) -> None:
    digest = shelf.put(b"x" * 1000)
    assert collect(shelf.store, shelf.tenant_id, grace=timedelta(hours=1)).files == []
    assert shelf.read(digest)


def test_a_base_that_others_lean_on_keeps_its_bytes_and_usage_says_so(shelf: Shelf) -> None:
    base, near = family()
    first = shelf.put(base)
    second = shelf.put(near, like=first)
    keep_only(shelf, second)
    with shelf.ground.database.session(shelf.tenant_id) as session:
        use = use_of(session)
    assert use.files == 2, "its row stays, so that it can be destroyed by its digest"
    assert use.pinned_bytes > 0.5 * len(base)
    assert shelf.read(second) == near


def test_what_a_base_keeps_beside_the_tensor_that_is_leaned_on_counts_as_pinned_too(shelf: Shelf) -> None:
    base, near = family()
    head = 8 + int.from_bytes(base[:8], "little")
    one = {"layer.0": {"dtype": "BF16", "shape": [50_000], "data_offsets": [0, 100_000]}}
    header = json.dumps(one).encode()
    part = len(header).to_bytes(8, "little") + header + near[head : head + 100_000]
    first = shelf.put(base)
    second = shelf.put(part, like=first)
    keep_only(shelf, second)
    with shelf.ground.database.session(shelf.tenant_id) as session:
        use, of_base = use_of(session), use_of_files(session, [first])
    assert [codec.segments for codec in use.codecs if codec.codec == "diff2"] == [1]
    assert use.pinned_bytes == of_base[1], "the other seven tensors are kept for it alone"


def keep_only(shelf: Shelf, digest: str) -> None:
    """Collect with a waiting job that names this file alone."""
    with shelf.ground.database.session(shelf.tenant_id) as session:
        session.add(Job(kind="test", payload={"files": [{"digest": digest}]}))
    name_nothing(shelf)


def test_a_mostly_dead_pack_is_emptied_into_a_new_one(shelf: Shelf) -> None:
    shared = os.urandom(100_000)
    shelf.put(shared + os.urandom(900_000))
    kept = shelf.put(shared)
    before = sum(path.stat().st_size for path in shelf.packs)
    keep_only(shelf, kept)
    after = sum(path.stat().st_size for path in shelf.packs)
    assert shelf.read(kept) == shared
    assert after < before - 850_000
    assert shelf.leftovers == []


def test_destroyed_bytes_are_gone_from_packs_and_keys_and_others_stay(shelf: Shelf, tmp_path: Path) -> None:
    shared = os.urandom(200_000)
    doomed = shelf.put(shared + b"the person " * 50_000)
    kept = shelf.put(shared + b"another person " * 30_000)
    saved = tmp_path / "backup"
    shutil.copytree(shelf.ground.settings.home / "store" / "packs", saved)
    gone = destroy(shelf.store, shelf.tenant_id, [doomed])
    with pytest.raises(NotFound):
        shelf.read(doomed)
    assert shelf.read(kept) == shared + b"another person " * 30_000
    for pack_id in gone.pack_ids:
        with pytest.raises(NotFound):
            shelf.store.keyring.of(shelf.tenant_id, pack_id)
        assert (saved / shelf.tenant_id / pack_id).is_file()
    assert shelf.leftovers == []


def test_destroying_a_base_leaves_its_near_copies_whole_and_leaning_on_nothing(shelf: Shelf) -> None:
    base, near = family()
    first = shelf.put(base)
    second = shelf.put(near, like=first)
    old = {path.name for path in shelf.packs}
    destroy(shelf.store, shelf.tenant_id, [first])
    assert shelf.read(second) == near
    assert all(row.reference_number is None for row in shelf.segments())
    assert old.isdisjoint(path.name for path in shelf.packs)
    assert [row.codec for row in shelf.segments() if row.size == 100_000] == ["planes2"] * 8, "as if it had come alone"


def test_near_copies_without_their_base_are_kept_as_they_are_where_nothing_is_compressed(shelf: Shelf) -> None:
    base, near = family()
    first = shelf.put(base)
    second = shelf.put(near, like=first)
    shelf.store.level = 0
    destroy(shelf.store, shelf.tenant_id, [first])
    assert shelf.read(second) == near
    assert [row.codec for row in shelf.segments() if row.size == 100_000] == ["raw"] * 8


def test_destroying_what_is_not_here_destroys_nothing(shelf: Shelf) -> None:
    digest = shelf.put(b"here")
    with pytest.raises(NotFound):
        destroy(shelf.store, shelf.tenant_id, [digest, "0" * 64])
    assert shelf.read(digest) == b"here"


def test_damage_is_mended_from_a_mirror_and_the_damaged_copy_kept_aside(shelf: Shelf, tmp_path: Path) -> None:
    digest = shelf.put(os.urandom(300_000))
    mirror = tmp_path / "mirror"
    shutil.copytree(shelf.ground.settings.home / "store" / "packs", mirror)
    (path,) = shelf.packs
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:1000])
    (damage,) = list(check(shelf.store, shelf.tenant_id))
    assert damage.files == [digest]
    (told,) = mend(shelf.store, shelf.tenant_id, [damage], LocalBackend(mirror))
    assert (told.mended, told.not_mended) == (True, "")
    assert list(check(shelf.store, shelf.tenant_id)) == []
    assert len(shelf.read(digest)) == 300_000
    assert len(asides(shelf)) == 1


def asides(shelf: Shelf) -> list[Path]:
    return [path for path in (shelf.ground.settings.home / "store/packs/damaged").rglob("*") if path.is_file()]


@pytest.mark.parametrize("mirrored", ["nothing", "a short copy", "a damaged copy"])
def test_without_a_good_copy_nothing_is_changed_and_why_is_told(shelf: Shelf, tmp_path: Path, mirrored: str) -> None:
    shelf.put(os.urandom(300_000))
    (path,) = shelf.packs
    good = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(good[:1000])
    copy = tmp_path / "mirror" / shelf.tenant_id / path.name
    copy.parent.mkdir(parents=True)
    if mirrored != "nothing":
        copy.write_bytes(good[:-1] + (b"" if mirrored == "a short copy" else b"x"))
    (told,) = mend(shelf.store, shelf.tenant_id, check(shelf.store, shelf.tenant_id), LocalBackend(tmp_path / "mirror"))
    assert not told.mended
    assert "no good copy" in told.not_mended
    assert path.read_bytes() == good[:1000]
    assert (asides(shelf), shelf.leftovers) == ([], [])


def test_a_near_copy_and_its_base_are_mended_in_one_go(shelf: Shelf, tmp_path: Path) -> None:
    base, near = family()
    first = shelf.put(base)
    second = shelf.put(near, like=first)
    empty_packs(shelf.store, shelf.tenant_id, [row.pack_id for row in shelf.segments() if not row.reference_number])
    finish_doomed(shelf.store, shelf.tenant_id)
    rows = {row.number: row for row in shelf.segments()}
    assert any(row.reference_number and row.pack_id < rows[row.reference_number].pack_id for row in rows.values())
    shutil.copytree(shelf.ground.settings.home / "store" / "packs", tmp_path / "mirror")
    for path in shelf.packs:
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:1000])
    damages = [*check(shelf.store, shelf.tenant_id)]
    assert len(damages) == 2
    told = mend(shelf.store, shelf.tenant_id, damages, LocalBackend(tmp_path / "mirror"))
    assert [(one.mended, one.not_mended) for one in told] == [(True, "")] * 2
    assert (shelf.read(first), shelf.read(second)) == (base, near)


def test_a_near_copy_whose_base_stays_damaged_says_where_the_damage_is(shelf: Shelf, tmp_path: Path) -> None:
    base, near = family()
    first = shelf.put(base)
    shelf.put(near, like=first)
    (reference,) = {row.pack_id for row in shelf.segments() if row.number == 1}
    (path,) = [path for path in shelf.packs if path.name == reference]
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:1000])
    told = {
        one.pack_id: one
        for one in mend(shelf.store, shelf.tenant_id, check(shelf.store, shelf.tenant_id), LocalBackend(tmp_path))
    }
    assert len(told) == 2
    assert "no good copy" in told.pop(reference).not_mended
    assert f"what it leans on is damaged, in packs {reference}" in told.popitem()[1].not_mended


def test_a_pack_that_was_destroyed_since_the_look_is_told_so(shelf: Shelf, tmp_path: Path) -> None:
    digest = shelf.put(os.urandom(300_000))
    (path,) = shelf.packs
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])
    damages = [*check(shelf.store, shelf.tenant_id)]
    destroy(shelf.store, shelf.tenant_id, [digest])
    (told,) = mend(shelf.store, shelf.tenant_id, damages, LocalBackend(tmp_path))
    assert told.not_mended == "the pack was emptied or destroyed meanwhile"


def test_a_lost_index_is_rebuilt_from_the_packs(shelf: Shelf) -> None:
    base, near = family()
    files = {shelf.put(base): base}
    files[shelf.put(near, like=next(iter(files)))] = near
    files[shelf.put(b"small")] = b"small"
    with shelf.ground.database.session(shelf.tenant_id) as session:
        for table in (Piece, BlobRow, Segment, Pack):
            if table is Segment:
                session.execute(sa.delete(Segment).where(Segment.reference_number.is_not(None)))
            session.execute(sa.delete(table))
    found = rebuild(shelf.store, shelf.tenant_id)
    assert found.files == sorted(files)
    assert {digest: shelf.read(digest) for digest in files} == files
    assert rebuild(shelf.store, shelf.tenant_id).files == sorted(files)


def test_a_rebuild_writes_the_segments_of_a_pack_twice_however_many_files_it_ends_with(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(shelf.put(os.urandom(1000)) for _ in range(10))
    empty_packs(shelf.store, shelf.tenant_id, [row.id for row in shelf.pack_rows()])
    finish_doomed(shelf.store, shelf.tenant_id)
    written: list[int] = []

    def counted(session: Any, keyring: Any, pack: PackFacts, manifests: list[dict[str, Any]]) -> None:
        written.append(len(pack.segments))
        publish(session, keyring, pack, manifests)

    monkeypatch.setattr(rebuilding, "publish", counted)
    assert rebuild(shelf.store, shelf.tenant_id).files == files
    assert sum(written) == 2 * len(files), "once those that lean on nothing, once all"
