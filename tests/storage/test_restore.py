"""Restores that meet damage, are killed, or bring an older index to newer keys: nothing is dropped in silence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.datasets.test_imports import pairs
from tests.datasets.versions.test_changes import contents, imported
from tests.faults import EVERY, Injected
from tests.storage.test_backup import Home, home, whole
from tests.stored import stored_at
from tunery.app import build_house
from tunery.audit import AuditEntry
from tunery.datasets.versions.rebuilding import rebuild_logs
from tunery.errors import Refused, Unavailable
from tunery.kit.digests import sha256_bytes
from tunery.platform.blobs.collecting import collect
from tunery.platform.blobs.destroying import destroy
from tunery.platform.blobs.emptying import empty_packs, finish_doomed
from tunery.platform.blobs.rebuilding import rebuild
from tunery.platform.blobs.tables import Pack
from tunery.platform.ground import Ground
from tunery.platform.jobs import Job
from tunery.registry.operations import verify_version
from tunery.registry.tables import ModelVersion
from tunery.settings import Settings
from tunery.storage import operations
from tunery.storage.backup.restoring import restore_backup
from tunery.storage.backup.verifying import faults_of
from tunery.storage.schemas import UploadCreate
from tunery.storage.upkeep.operations import lost_files

__all__ = ["home"]

on_sqlite = pytest.mark.parametrize("home", ["sqlite"], indirect=True)
BESIDE = b"beside " * 20_000


def destroyed(home: Home, digest: str) -> None:
    """Destroy a file that nothing names any more."""
    tenant_id = home.actor.tenant_id
    with home.ground.database.session(tenant_id) as session:
        for job in session.scalars(sa.select(Job).where(Job.kind == "test")):
            if job.payload.get("digest") == digest:
                session.delete(job)
    destroy(home.ground.blobs, tenant_id, [digest])


def packs(ground: Ground, tenant_id: str) -> set[str]:
    with ground.database.session(tenant_id, read_only=True) as session:
        return set(session.scalars(sa.select(Pack.id)))


def announced(ground: Ground, home: Home, data: bytes) -> bool:
    """Tell whether an upload of these bytes hears that they are here already."""
    wish = UploadCreate(digest=sha256_bytes(data), size_bytes=len(data))
    return operations.claim_file(ground, home.actor.tenant_id, wish) is not None


@dataclass
class Joined:
    """A backup; since then one version was destroyed, and collection joined all packs into one.

    Attributes:
        copy: That pack at the backup's place.
        kept: A version whose bytes lie in it.
        gone: The version that was destroyed.
        secret: A file that was destroyed, and every byte of which another file keeps.
    """

    copy: Path
    kept: ModelVersion
    gone: ModelVersion
    secret: str


def joined(home: Home) -> Joined:
    home.shelf.base()
    gone, kept = home.shelf.adapter(1), home.shelf.adapter(2)
    secret = home.put(BESIDE)
    home.put(BESIDE + os.urandom(1000))
    home.back_up()
    tenant_id = home.actor.tenant_id
    with home.ground.database.session(tenant_id) as session:
        session.get_one(ModelVersion, gone.id).status = "erased"
    for digest in (secret, weights(gone)):
        destroyed(home, digest)
    empty_packs(
        home.ground.blobs, tenant_id, packs(home.ground, tenant_id)
    )  # what collection does with many small ones
    finish_doomed(home.ground.blobs, tenant_id)
    (pack,) = packs(home.ground, tenant_id)
    return Joined(home.folder / "backups" / "packs" / tenant_id / pack, kept, gone, secret)


def weights(version: ModelVersion) -> str:
    return str(max(version.manifest["files"], key=lambda file: file["size_bytes"])["digests"]["sha256"])


def flip(path: Path, position: int) -> bytes:
    """Change a bit; return what stood there before."""
    good = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
    return good


def test_what_was_destroyed_since_is_not_here_though_another_file_has_all_its_bytes(home: Home) -> None:
    found = joined(home)
    ground, restored = home.put_back()
    assert (restored.destroyed_versions, restored.damaged_packs) == ([found.gone.reference], {})
    assert not ground.blobs.exists(home.actor.tenant_id, found.secret)
    assert not announced(ground, home, BESIDE)
    assert verify_version(ground, home.actor.tenant_id, found.kept.id).files == 2
    assert whole(ground, home.actor.tenant_id)


def test_a_mirrored_pack_that_cannot_say_what_it_holds_is_told_as_damaged_not_as_destroyed(home: Home) -> None:
    """Nothing of the tenant is readable then, no version is called destroyed, and the good pack brings all back."""
    found = joined(home)
    good = flip(found.copy, found.copy.stat().st_size - 40)  # in the sealed list at its end
    tenant_id = home.actor.tenant_id
    os.utime(home.settings.home / "store" / "keys" / tenant_id / "packs" / found.copy.name, (0, 0))
    ground, restored = home.put_back()
    collect(ground.blobs, tenant_id, grace=timedelta(hours=1))  # leaves the key to which no pack is here
    assert restored.damaged_packs.keys() == {found.copy.name}
    assert restored.destroyed_versions == []
    assert found.kept.reference in restored.damaged_versions
    assert not ground.blobs.exists(tenant_id, weights(found.kept))
    with ground.database.session(tenant_id, read_only=True) as session:
        assert weights(found.kept) in lost_files(session)
    folder = ground.settings.folder("store", "packs", tenant_id)
    (folder / found.copy.name).write_bytes(good)
    rebuild(ground.blobs, tenant_id)
    assert verify_version(ground, tenant_id, found.kept.id).files == 2
    assert not ground.blobs.exists(tenant_id, weights(found.gone))
    assert not announced(ground, home, BESIDE)


@on_sqlite
def test_a_damaged_segment_of_a_mirrored_pack_costs_its_own_version_alone(home: Home) -> None:
    found = joined(home)
    pack, position = stored_at(home.ground, home.actor.tenant_id, weights(found.kept))
    assert pack.name == found.copy.name
    flip(found.copy, position)
    ground, restored = home.put_back()
    assert restored.damaged_versions == [found.kept.reference]
    assert restored.destroyed_versions == [found.gone.reference]
    assert restored.damaged_packs == {found.copy.name: "1 of its segments are damaged"}
    assert verify_version(ground, home.actor.tenant_id, "small").files == 2
    assert whole(ground, home.actor.tenant_id)


@on_sqlite
def test_a_mirrored_pack_that_a_later_backup_names_and_that_is_missing_is_told(home: Home) -> None:
    found = joined(home)
    first = home.target.manifest_ids()[-1]
    home.back_up()
    found.copy.unlink()
    _, restored = home.put_back(backup_id=first)
    assert restored.damaged_packs == {found.copy.name: "it is missing"}
    assert found.kept.reference in restored.damaged_versions


@on_sqlite
def test_an_index_put_back_by_hand_is_corrected_by_a_rebuild(home: Home) -> None:
    """The old rows meet the packs and the keys of today: what was destroyed leaves them."""
    found = joined(home)
    settings = home.elsewhere()
    assert restore_backup(settings, home.url).destroyed_packs > 0
    (file,) = (file for file in home.target.manifest().files if file.path.endswith("tunery.sqlite"))
    (settings.home / "tunery.sqlite").write_bytes(b"".join(home.target.pieces(file)))
    ground = home.opened(settings)
    assert announced(ground, home, BESIDE)  # so it would lie
    assert found.secret in rebuild(ground.blobs, home.actor.tenant_id).destroyed
    assert not announced(ground, home, BESIDE)
    assert whole(ground, home.actor.tenant_id)


@pytest.mark.long
@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_a_restore_killed_before_any_of_its_deeds_is_repeated(home: Home, injected: Injected) -> None:
    """Each attempt meets what the one before left, and is killed some deeds later, until one ends."""
    found = joined(home)
    rows = imported(home.ground, home.actor, pairs(20))
    backup = home.back_up()
    secret = home.put(b"another " * 20_000)
    last = home.back_up()
    destroyed(home, secret)
    settings = home.elsewhere()
    injected(kill_again_and_again("restore", settings, home.url))
    ground = home.opened(settings)
    tenant_id = home.actor.tenant_id
    assert whole(ground, tenant_id)
    assert verify_version(ground, tenant_id, found.kept.id).files == 2
    assert not ground.blobs.exists(tenant_id, secret)
    assert contents(ground, rows) == contents(home.ground, rows)
    assert rebuild_logs(ground, tenant_id) == []
    assert not (settings.home / "restoring").exists()
    with ground.database.system_session("a test reads the audit", read_only=True) as session:
        told = session.scalars(sa.select(AuditEntry.resource).where(AuditEntry.action == "backup_restored")).all()
    assert told == [f"backups/{last.id}"]
    for backup_id in (last.id, backup.id):
        with pytest.raises(Refused, match="not empty"):
            restore_backup(settings, home.url, backup_id)


@pytest.mark.long
@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_a_backup_killed_before_any_of_its_deeds_leaves_none_or_a_whole_one(home: Home, injected: Injected) -> None:
    """Whatever manifest there is stands for a backup in which nothing is missing or damaged."""
    digest = home.put(os.urandom(50_000))
    injected(kill_again_and_again("create", home.settings, home.url))
    made = home.target.manifest_ids()
    assert made
    for backup_id in made:
        assert faults_of(home.target, home.target.manifest(backup_id)) == []
    ground, _ = home.put_back()
    assert len(ground.blobs.read(home.actor.tenant_id, digest)) == 50_000


def kill_again_and_again(deed: str, settings: Settings, url: str) -> int:
    """Kill a deed before its first step, its repetition some steps later, until one ends; return how often."""
    step = 1 if EVERY else 23
    secrets = {"database_url", "database_admin_url"}
    given = settings.model_dump(mode="json") | {name: getattr(settings, name) for name in secrets}
    command = [sys.executable, "-m", "tests.storage.backup_script", deed, json.dumps(given), url, str(step)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=3000)
    assert done.returncode == 0, done.stderr[-3000:]
    killed = int(done.stdout.split()[-1])
    assert killed * step >= 40, "fewer deeds than there must be; are they counted?"
    return killed


def test_a_half_restored_home_is_served_by_nobody_and_takes_no_other_backup(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = joined(home)
    first = home.target.manifest()
    second = home.back_up()
    settings = home.elsewhere()

    def fail(*_: object) -> None:
        raise Unavailable("the database went away")

    with monkeypatch.context() as broken:
        broken.setattr("tunery.storage.backup.settling._take_up_jobs", fail)
        with pytest.raises(Unavailable):
            restore_backup(settings, home.url, first.id)
    with pytest.raises(Refused, match="was not finished; repeat it"):
        build_house(settings)
    with pytest.raises(Refused, match=f"half of backup {first.id}"):
        restore_backup(settings, home.url, second.id)
    assert restore_backup(settings, home.url).backup_id == first.id  # without an id: the one that was begun
    assert verify_version(home.opened(settings), home.actor.tenant_id, found.kept.id).files == 2
