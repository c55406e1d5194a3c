"""Damage at the backup's place, in the store, or in keys: named, and mended as far as a good copy is anywhere."""

from __future__ import annotations

import base64
import os
import shutil
from pathlib import Path

import pytest

from tests.storage.test_backup import NO_GRACE, Home, home, whole
from tests.storage.test_restore import flip
from tests.stored import flip_a_bit, stored_at
from tunery.errors import IntegrityError, Refused
from tunery.kit.ids import new_id
from tunery.platform.blobs.checking import check
from tunery.platform.blobs.opening import master_keys
from tunery.registry.operations import verify_version
from tunery.storage.backup.creating import let_go
from tunery.storage.backup.operations import list_backups
from tunery.storage.backup.restoring import restore_backup
from tunery.storage.backup.target import open_target
from tunery.storage.backup.verifying import faults_of

__all__ = ["home"]

on_sqlite = pytest.mark.parametrize("home", ["sqlite"], indirect=True)


def place(home: Home, part: str) -> Path:
    """The only object of a part of the backup's place."""
    (found,) = (path for path in (home.folder / "backups" / part).rglob("*") if path.is_file() and path.name != "place")
    return found


@on_sqlite
def test_what_a_look_found_damaged_is_sent_again_by_the_next_backup(home: Home) -> None:
    home.put(os.urandom(10_000))
    first = home.back_up()
    pack, chunk = place(home, "packs"), place(home, "chunks")
    sizes = pack.stat().st_size, chunk.stat().st_size
    for path in (pack, chunk):
        flip(path, 100)
    faults = faults_of(home.target, first)
    assert [fault.damaged for fault in faults] == [f"chunks/{chunk.name}", f"packs/{home.actor.tenant_id}/{pack.name}"]
    for fault in faults:
        home.target.suspect(fault.damaged)
    assert faults_of(home.target, first) == faults  # nothing goes before a good copy comes
    second = home.back_up()
    assert second.copied_bytes == sum(sizes)
    assert faults_of(home.target, first) == faults_of(home.target, second) == []
    assert home.back_up().copied_bytes == 0
    os.truncate(chunk, 50)
    assert home.back_up().copied_bytes == sizes[1]
    assert faults_of(home.target, first) == []


@on_sqlite
def test_a_damaged_pack_that_stands_in_the_home_already_is_fetched_anew(home: Home) -> None:
    digest = home.put(os.urandom(10_000))
    home.back_up()
    settings = home.elsewhere()
    shutil.copytree(home.settings.home / "store" / "packs", settings.home / "store" / "packs")
    pack, position = stored_at(home.ground, home.actor.tenant_id, digest)
    flip(settings.home / pack.relative_to(home.settings.home), position)
    assert restore_backup(settings, home.url).damaged_packs == {}
    assert whole(home.opened(settings), home.actor.tenant_id)


@on_sqlite
def test_backups_open_with_the_new_master_key_alone_once_one_was_made_under_it(home: Home) -> None:
    home.put(os.urandom(10_000))
    first = home.back_up()
    old = (home.settings.home / "keys" / "master.key").read_text().strip()
    new = base64.b64encode(os.urandom(32)).decode()
    alone = home.settings.model_copy(update={"master_key": new})
    with pytest.raises(IntegrityError, match="made with the master key"):
        open_target(home.url, master_keys(alone))
    home.ground = home.opened(home.settings.model_copy(update={"master_key": f"{new},{old}"}))
    home.back_up()
    target = open_target(home.url, master_keys(alone))
    assert faults_of(target, target.manifest(first.id)) == []


@on_sqlite
def test_a_manifest_that_cannot_be_read_is_listed_and_stops_neither_list_nor_retention(home: Home) -> None:
    made = [home.back_up() for _ in range(4)]
    path = home.folder / "backups" / "manifests" / made[1].id
    flip(path, path.stat().st_size // 2)
    listed = {row.id: row for row in list_backups(home.ground)}
    assert [listed[one.id].state for one in made] == ["complete", "unreadable", "complete", "complete"]
    assert f"delete manifests/{made[1].id} at {home.url}" in listed[made[1].id].reason
    home.put(os.urandom(3000))
    newest = home.back_up()
    chunks = {path.name for path in (home.folder / "backups" / "chunks").iterdir()}
    later = newest.taken_at.timestamp() + 3600
    os.utime(path, (later, later))  # the others are older than the retention of no time at all, and this one is not
    gone = let_go(home.target, NO_GRACE, NO_GRACE)
    assert (gone.removed, gone.unreadable.keys()) == ([made[3].id, made[2].id, made[0].id], {made[1].id})
    assert {path.name for path in (home.folder / "backups" / "chunks").iterdir()} == chunks  # it may name them
    os.utime(path, (later - 7200, later - 7200))
    assert let_go(home.target, NO_GRACE, NO_GRACE).removed == [made[1].id]
    assert [row.state for row in list_backups(home.ground)] == ["complete"]
    assert {path.name for path in (home.folder / "backups" / "chunks").iterdir()} == set(newest.files[0].chunks)


@on_sqlite
def test_the_stores_own_place_takes_no_backup(home: Home) -> None:
    home.put(os.urandom(3000))
    aliased = home.folder / "alias"
    aliased.symlink_to(home.settings.home / "store")
    home.url = aliased.as_uri()
    with pytest.raises(Refused, match="is where the store itself keeps its packs"):
        home.back_up()
    assert home.target.manifest_ids() == []
    assert not (home.settings.home / "store" / "packs" / "place").exists()


@pytest.fixture
def lacking(home: Home) -> Home:
    """A home with a good version, and one whose weights were damaged before any backup had them."""
    home.shelf.base()
    home.back_up()
    tuned = home.shelf.adapter()
    flip_a_bit(home.ground, home.actor.tenant_id, weights(home, tuned.manifest))
    return home


def weights(home: Home, manifest: dict) -> str:
    return str(max(manifest["files"], key=lambda file: file["size_bytes"])["digests"]["sha256"])


def test_a_backup_is_made_without_a_pack_that_is_damaged_and_never_looks_complete(lacking: Home) -> None:
    home, tenant_id = lacking, lacking.actor.tenant_id
    (damage,) = check(home.ground.blobs, tenant_id)
    made = home.back_up()
    assert [pack.id for pack in made.missing] == [damage.pack_id]
    assert damage.pack_id not in {pack.id for pack in made.packs}
    newest, before = list_backups(home.ground)
    assert (newest.state, newest.missing_packs, before.state) == ("incomplete", [damage.pack_id], "complete")
    assert damage.pack_id in newest.reason
    for quick in (True, False):
        (fault,) = faults_of(home.target, made, quick=quick)
        assert f"pack {damage.pack_id} of tenant {tenant_id} is not in the backup" in fault.reason
    waiting = home.folder / "backups" / "packs" / tenant_id / new_id()
    waiting.write_bytes(b"from which the damaged pack took over")
    os.utime(waiting, (0, 0))
    let_go(home.target, NO_GRACE, NO_GRACE)
    assert waiting.exists()
    ground, restored = home.put_back()
    assert restored.damaged_packs.keys() == {damage.pack_id}
    assert (restored.damaged_versions, restored.destroyed_versions) == (["tuned:1.0.0"], [])
    assert verify_version(ground, tenant_id, "small").files == 2
    (found,) = check(ground.blobs, tenant_id)  # as in the home that it is of, and a good copy mends it
    assert (found.pack_id, found.files) == (damage.pack_id, damage.files)


@on_sqlite
def test_a_pack_that_was_mended_since_is_found_for_the_backup_that_lacks_it(lacking: Home) -> None:
    home, tenant_id = lacking, lacking.actor.tenant_id
    (damage,) = check(home.ground.blobs, tenant_id)
    made = home.back_up()
    flip_a_bit(home.ground, tenant_id, damage.files[0])
    home.back_up()
    assert faults_of(home.target, made) == []
    ground, restored = home.put_back(backup_id=made.id)
    assert (restored.damaged_packs, restored.damaged_versions) == ({}, [])
    assert whole(ground, tenant_id)
