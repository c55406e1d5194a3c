"""Destruction: of nothing that somebody needs, of everything else, whatever lies beside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Event

import pytest
import sqlalchemy as sa

from tests.platform.blobs.conftest import Shelf
from tests.platform.blobs.fault_scenario import model, name, noise
from tests.platform.blobs.test_races import hashes_in_reach
from tests.platform.blobs.test_upkeep import keep_only
from tests.stored import flip_a_bit, stored_at
from tunery.errors import IntegrityError, NotFound
from tunery.platform.blobs.backends import LocalBackend
from tunery.platform.blobs.checking import check
from tunery.platform.blobs.collecting import collect
from tunery.platform.blobs.copying import mark_place
from tunery.platform.blobs.destroying import Destroyed, destroy, destroy_dead
from tunery.platform.blobs.emptying import empty_packs, finish_doomed
from tunery.platform.blobs.references import DOOMED, hold_files
from tunery.platform.jobs import Job

ROUNDS = int(os.environ.get("TUNERY_FAULT_ROUNDS", "5"))


def destroyed(shelf: Shelf, digest: str, *, lose_damaged: bool = False) -> Destroyed:
    return destroy(shelf.store, shelf.tenant_id, [digest], lose_damaged=lose_damaged)


def when_placing(shelf: Shelf, deed: Callable[[], object]) -> None:
    """Do something once between the question whether a file is needed and its destruction."""
    calm = shelf.store.backend

    class Watched(LocalBackend):
        def place(self, name: str, staged: Path) -> None:
            super().place(name, staged)
            shelf.store.backend = calm
            deed()

    shelf.store.backend = Watched(shelf.ground.settings.home / "store" / "packs")


def beside(shelf: Shelf, seed: int = 1) -> tuple[str, str, bytes]:
    """A file to destroy and one that survives out of its pack: digests, and the survivor's bytes."""
    shared = noise(seed, 200_000)
    kept = shelf.put(shared)
    return shelf.put(shared + noise(seed + 1, 300_000)), kept, shared


def test_a_file_that_a_waiting_job_names_is_spared_and_who_needs_it_is_told(shelf: Shelf) -> None:
    digest = shelf.put(b"needed")
    name(shelf.ground, shelf.tenant_id, digest)
    told = destroyed(shelf, digest)
    (user,) = told.spared[digest]
    assert user.startswith("jobs ")
    assert (told.digests, shelf.read(digest)) == ([], b"needed")


def test_what_waits_for_its_destruction_is_not_needed_by_that(shelf: Shelf) -> None:
    digest = shelf.put(b"to be destroyed")
    with shelf.ground.database.session(shelf.tenant_id) as session:
        session.add(Job(kind="test", payload={DOOMED: [digest]}))
    assert collect(shelf.store, shelf.tenant_id, grace=timedelta(0)).files == []
    assert destroyed(shelf, digest).digests == [digest]


def test_who_names_a_file_after_the_question_and_before_the_deed_keeps_it(shelf: Shelf) -> None:
    digest, _, _ = beside(shelf)
    before = shelf.read(digest)
    collect_beside(shelf, digest)
    when_placing(shelf, lambda: name(shelf.ground, shelf.tenant_id, digest))
    told = destroyed(shelf, digest)
    assert (told.digests, [*told.spared], shelf.read(digest)) == ([], [digest], before)


def collect_beside(shelf: Shelf, digest: str) -> None:
    """Bring everything into one pack, so that destroying one file moves the others."""
    with shelf.ground.database.session(shelf.tenant_id) as session:
        job = Job(kind="test", payload={"files": [digest]})
        session.add(job)
    empty_packs(shelf.store, shelf.tenant_id, [row.id for row in shelf.pack_rows()])
    finish_doomed(shelf.store, shelf.tenant_id)
    with shelf.ground.database.session(shelf.tenant_id) as session:
        session.execute(sa.delete(Job).where(Job.id == job.id))


def test_a_destruction_waits_for_one_who_is_naming_the_file(shelf: Shelf) -> None:
    digest, _, _ = beside(shelf)
    before = shelf.read(digest)
    collect_beside(shelf, digest)
    asked = Event()
    when_placing(shelf, asked.set)
    with ThreadPoolExecutor(1) as threads:
        with shelf.ground.database.session(shelf.tenant_id) as session:
            hold_files(session, [digest])
            told = threads.submit(destroyed, shelf, digest)
            assert asked.wait(60)
            session.add(Job(kind="test", payload={"file": digest}))
        assert told.result().digests == []
    assert shelf.read(digest) == before


def test_of_one_who_names_and_one_who_destroys_exactly_one_succeeds(shelf: Shelf) -> None:
    for number in range(ROUNDS):
        data = noise(number, 50_000)
        digest, at_once = shelf.put(data), Barrier(2)

        def naming(digest: str = digest, at_once: Barrier = at_once) -> bool:
            at_once.wait()
            try:
                with shelf.ground.database.session(shelf.tenant_id) as session:
                    hold_files(session, [digest])
                    session.add(Job(kind="test", payload={"file": digest}))
            except NotFound:
                return False
            return True

        def destroying(digest: str = digest, at_once: Barrier = at_once) -> bool:
            at_once.wait()
            return destroyed(shelf, digest).digests == [digest]

        with ThreadPoolExecutor(2) as threads:
            named, gone = threads.submit(naming), threads.submit(destroying)
            assert named.result() != gone.result()
        assert shelf.store.exists(shelf.tenant_id, digest) == named.result()
    assert list(check(shelf.store, shelf.tenant_id)) == []


def test_a_base_that_was_given_up_long_ago_can_still_be_destroyed(shelf: Shelf) -> None:
    base, near = model(1), model(1, 2)
    first = shelf.put(base)
    second = shelf.put(near, like=first)
    keep_only(shelf, second)
    lived = {row.hash for row in shelf.segments()}
    assert destroyed(shelf, first).spared == {}, "near copies do not name it"
    assert shelf.read(second) == near
    assert all(row.reference_number is None for row in shelf.segments())
    gone = lived - {row.hash for row in shelf.segments()}
    assert gone
    assert hashes_in_reach(shelf).isdisjoint(gone)
    assert destroyed(shelf, second).spared, "a job names it"


def test_a_base_goes_with_the_last_near_copy_that_leans_on_it(shelf: Shelf) -> None:
    first = shelf.put(model(1))
    second = shelf.put(model(1, 2), like=first)
    keep_only(shelf, second)
    with shelf.ground.database.session(shelf.tenant_id) as session:
        session.execute(sa.delete(Job))
    assert collect(shelf.store, shelf.tenant_id, grace=timedelta(0)).files == sorted([first, second])
    assert (shelf.packs, shelf.segments()) == ([], [])


def test_what_lies_dead_after_its_file_was_collected_can_be_destroyed(shelf: Shelf) -> None:
    shared = noise(1, 3_000_000)
    name(shelf.ground, shelf.tenant_id, kept := shelf.put(shared + b"."))
    shelf.put(shared + noise(2, 100_000))
    collect_beside(shelf, kept)
    collect(shelf.store, shelf.tenant_id, grace=timedelta(0))
    assert len(hashes_in_reach(shelf)) > len(shelf.segments()), "a pack that is mostly alive is not written again"
    assert destroy_dead(shelf.store, shelf.tenant_id) > 0
    assert len(hashes_in_reach(shelf)) == len(shelf.segments())
    assert shelf.read(kept) == shared + b"."


def damaged_beside(shelf: Shelf) -> tuple[str, str, str]:
    """Digests of a file to destroy, of a damaged one in its pack and of a good one; and nobody names the first."""
    doomed, good = shelf.put(noise(1, 100_000)), shelf.put(noise(2, 100_000))
    lost = shelf.put(noise(3, 100_000))
    collect_beside(shelf, doomed)
    flip_a_bit(shelf.ground, shelf.tenant_id, lost)
    return doomed, lost, good


def test_damage_beside_it_is_named_and_nothing_is_lost_unasked(shelf: Shelf) -> None:
    doomed, lost, good = damaged_beside(shelf)
    with pytest.raises(IntegrityError, match="check --repair") as refused:
        destroyed(shelf, doomed)
    assert refused.value.details["files"] == [lost]
    assert shelf.read(doomed) == noise(1, 100_000)
    assert shelf.read(good) == noise(2, 100_000)
    assert list((shelf.ground.settings.home / "staging").iterdir()) == []


def test_another_files_rot_does_not_block_an_erasure(shelf: Shelf) -> None:
    doomed, lost, good = damaged_beside(shelf)
    pack, _ = stored_at(shelf.ground, shelf.tenant_id, doomed)
    name(shelf.ground, shelf.tenant_id, lost)
    told = destroyed(shelf, doomed, lose_damaged=True)
    assert (told.digests, told.lost) == ([doomed], [lost])
    assert not shelf.store.keyring.has(shelf.tenant_id, pack.name)
    for digest in (doomed, lost):
        with pytest.raises(NotFound):
            shelf.read(digest)
    assert shelf.read(good) == noise(2, 100_000)
    assert shelf.put(noise(3, 100_000)) == lost, "sent again, it is whole"
    assert shelf.read(lost) == noise(3, 100_000)
    assert list(check(shelf.store, shelf.tenant_id)) == []


def test_rot_in_what_is_destroyed_itself_takes_the_near_copies_that_need_it(shelf: Shelf) -> None:
    base = shelf.put(model(1))
    near = shelf.put(model(1, 2), like=base)
    flip_a_bit(shelf.ground, shelf.tenant_id, base)
    with pytest.raises(IntegrityError, match=near):
        destroyed(shelf, base)
    assert destroyed(shelf, base, lose_damaged=True).lost == [near]
    assert list(check(shelf.store, shelf.tenant_id)) == []
    collect(shelf.store, shelf.tenant_id, grace=timedelta(0))
    assert (shelf.packs, shelf.segments()) == ([], [])


def mirrored(shelf: Shelf, tmp_path: Path) -> None:
    """Give the store a backup's packs to copy to."""
    mirror = LocalBackend(tmp_path / "mirror")
    mark_place(mirror)
    shelf.store.mirror = mirror


def test_rot_elsewhere_keeps_no_key_from_going_though_a_backup_waits_for_it(shelf: Shelf, tmp_path: Path) -> None:
    mirrored(shelf, tmp_path)
    doomed, rotten, given_up = (shelf.put(noise(number, 100_000)) for number in (1, 2, 3))
    name(shelf.ground, shelf.tenant_id, rotten)
    flip_a_bit(shelf.ground, shelf.tenant_id, rotten)
    assert destroyed(shelf, doomed).freed_bytes > 100_000
    told = collect(shelf.store, shelf.tenant_id, grace=timedelta(0), dry_run=True)
    assert (told.files, told.waiting_bytes) == ([given_up], 0)
    assert collect(shelf.store, shelf.tenant_id, grace=timedelta(0)) == told
    assert [row.doomed_at for row in shelf.pack_rows()] == [None]
    with shelf.ground.database.session(shelf.tenant_id) as session:
        session.execute(sa.delete(Job))
    assert collect(shelf.store, shelf.tenant_id, grace=timedelta(0)).files == [rotten]
    assert (shelf.packs, shelf.leftovers) == ([], [])


def test_a_pack_keeps_its_key_until_the_backup_has_what_was_moved_out_of_it(shelf: Shelf, tmp_path: Path) -> None:
    mirrored(shelf, tmp_path)
    kept, elsewhere = shelf.put(noise(1, 100_000)), shelf.put(noise(2, 100_000))
    for digest in (kept, elsewhere):
        name(shelf.ground, shelf.tenant_id, digest)
    old, _ = stored_at(shelf.ground, shelf.tenant_id, kept)
    empty_packs(shelf.store, shelf.tenant_id, [old.name])  # and a crash before the mirror had what took over
    flip_a_bit(shelf.ground, shelf.tenant_id, kept)
    told = collect(shelf.store, shelf.tenant_id, grace=timedelta(0), dry_run=True)
    assert (told.freed_bytes, told.waiting_bytes) == (0, old.stat().st_size)
    assert collect(shelf.store, shelf.tenant_id, grace=timedelta(0)) == told
    assert shelf.store.keyring.has(shelf.tenant_id, old.name)
    with pytest.raises(IntegrityError, match="check --repair") as waits:
        destroy_dead(shelf.store, shelf.tenant_id)
    assert waits.value.details["packs"] == [old.name]
    flip_a_bit(shelf.ground, shelf.tenant_id, kept)  # as good as mended
    assert destroy_dead(shelf.store, shelf.tenant_id) == told.waiting_bytes
    assert not shelf.store.keyring.has(shelf.tenant_id, old.name)
    assert shelf.read(kept) == noise(1, 100_000)


def test_a_destruction_says_by_how_much_the_packs_are_shorter(shelf: Shelf) -> None:
    doomed, *_ = [shelf.put(noise(number, 100_000)) for number in range(4)]
    collect_beside(shelf, doomed)
    before = sum(path.stat().st_size for path in shelf.packs)
    told = destroyed(shelf, doomed)
    assert told.freed_bytes == before - sum(path.stat().st_size for path in shelf.packs)
    assert 100_000 < told.freed_bytes < 102_000, "the three that were beside it lie in a pack again"


def test_a_collection_leaves_damaged_packs_alone_and_takes_the_rest(shelf: Shelf) -> None:
    doomed, lost, good = damaged_beside(shelf)
    for digest in (lost, good):
        name(shelf.ground, shelf.tenant_id, digest)
    unnamed = shelf.put(noise(9, 100_000))
    (path, _) = stored_at(shelf.ground, shelf.tenant_id, unnamed)
    told = collect(shelf.store, shelf.tenant_id, grace=timedelta(0))
    assert told.files == sorted([doomed, unnamed])
    assert not path.exists()
    assert shelf.read(good) == noise(2, 100_000)
