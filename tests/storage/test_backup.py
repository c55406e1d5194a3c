"""Backups: one moment of everything, put back whole; what was destroyed since stays destroyed."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from tests.datasets.test_imports import pairs
from tests.datasets.versions.test_changes import contents, imported
from tests.doors.door import Door, opened
from tests.doors.things import data_of
from tests.fixtures import fresh_settings, make_actor
from tests.registry.conftest import Shelf
from tests.stored import flip_a_bit
from tunery.audit import AuditEntry
from tunery.cli.main import run
from tunery.datasets.versions.rebuilding import rebuild_logs
from tunery.errors import IntegrityError, NotFound, Refused, Unavailable
from tunery.identity.operations import bootstrap
from tunery.identity.tables import Tenant, User
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.platform.blobs.checking import check, mend
from tunery.platform.blobs.collecting import collect
from tunery.platform.blobs.destroying import destroy
from tunery.platform.blobs.opening import master_keys
from tunery.platform.blobs.tables import BlobRow, Pack
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import enqueue_due
from tunery.platform.jobs import Job
from tunery.registry.operations import resolve_version, verify_version
from tunery.registry.tables import ModelVersion
from tunery.settings import Settings
from tunery.storage.backup.creating import create_backup, let_go
from tunery.storage.backup.restoring import Restored, restore_backup
from tunery.storage.backup.schemas import BackupManifest
from tunery.storage.backup.target import Target, open_target
from tunery.storage.backup.verifying import faults_of

NO_GRACE = timedelta(0)


class Home:
    """A home with a place for backups beside it, and empty ones to put them back into."""

    def __init__(self, kind: str, folder: Path, request: pytest.FixtureRequest, held: ExitStack) -> None:
        self.kind, self.folder, self.request, self.held = kind, folder, request, held
        self.url = (folder / "backups").as_uri()
        self.settings = self.settings_at("home")
        self.ground = self.opened(self.settings)
        bootstrap(self.ground)
        self.actor: Actor = make_actor(self.ground, "acme")
        self.shelf = Shelf(self.ground, self.actor, folder)

    def settings_at(self, name: str) -> Settings:
        made = self.held.enter_context(fresh_settings(self.kind, self.folder / name, self.request))
        return made.model_copy(update={"backup_url": self.url})

    def opened(self, settings: Settings) -> Ground:
        ground = Ground.build(settings)
        self.held.callback(ground.database.close)
        return ground

    @property
    def target(self) -> Target:
        return open_target(self.url, master_keys(self.settings), make=True)

    def back_up(self) -> BackupManifest:
        return create_backup(self.ground, self.target)

    def put(self, data: bytes) -> str:
        """Keep bytes and name them by a waiting job."""
        digest = self.ground.blobs.put(self.actor.tenant_id, data).digest
        with self.ground.database.session(self.actor.tenant_id) as session:
            session.add(Job(kind="test", payload={"digest": digest}))
        return digest

    def destroy(self, *digests: str) -> None:
        """Let go of what names these files, and destroy them."""
        with self.ground.database.session(self.actor.tenant_id) as session:
            for row in session.scalars(sa.select(ModelVersion)):
                if {*digests} & {file["digests"]["sha256"] for file in row.manifest["files"]}:
                    row.status = "erased"
            for job in session.scalars(sa.select(Job)):
                if job.payload.get("digest") in digests:
                    session.delete(job)
        destroy(self.ground.blobs, self.actor.tenant_id, digests)

    def elsewhere(self, name: str = "other", *, with_keys: bool = True) -> Settings:
        """An empty home into which the keys were put back, from a copy made now."""
        settings = self.settings_at(name)
        if with_keys:
            for part in ("keys", "store/keys"):
                shutil.copytree(self.settings.home / part, settings.home / part)
        return settings

    def put_back(self, name: str = "other", backup_id: str | None = None) -> tuple[Ground, Restored]:
        settings = self.elsewhere(name)
        restored = restore_backup(settings, self.url, backup_id)
        return self.opened(settings), restored


@pytest.fixture(params=["sqlite", "postgres"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    """A home with the tenants ``local`` (the operator) and ``acme``."""
    with ExitStack() as held:
        yield Home(request.param, tmp_path, request, held)


def digests(version: ModelVersion) -> list[str]:
    return [file["digests"]["sha256"] for file in version.manifest["files"]]


def whole(ground: Ground, tenant_id: str) -> bool:
    return list(check(ground.blobs, tenant_id)) == []


@contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    """What lies in the folder is the same after the block, but for folders and the master key's."""
    before = sorted(path for path in folder.rglob("*") if path.is_file())
    yield
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == before


def test_a_restored_home_is_that_of_the_backups_moment(home: Home) -> None:
    home.shelf.base()
    tuned = home.shelf.adapter()
    rows = imported(home.ground, home.actor, pairs(20))
    first = home.back_up()
    later = home.put(b"put after the backup")
    assert faults_of(home.target, first) == []
    ground, restored = home.put_back()
    assert restored.backup_id == first.id
    assert (restored.destroyed_packs, restored.destroyed_versions) == (0, [])
    tenant_id = home.actor.tenant_id
    assert whole(ground, tenant_id)
    assert verify_version(ground, tenant_id, tuned.id).files == len(tuned.manifest["files"])
    assert contents(ground, rows) == contents(home.ground, rows)
    assert rebuild_logs(ground, tenant_id) == []  # the restore made the log of the dataset again
    assert not any(file.path.startswith("datasets") for file in first.files)
    assert not ground.blobs.exists(tenant_id, later)
    with ground.database.system_session("a test reads the audit", read_only=True) as session:
        assert session.scalars(sa.select(AuditEntry.resource).where(AuditEntry.action == "backup_restored")).all() == [
            f"backups/{first.id}"
        ]
    new = ground.blobs.put(tenant_id, os.urandom(1000)).digest  # numbers of new rows do not meet those put back
    assert len(ground.blobs.read(tenant_id, new)) == 1000


def test_a_second_backup_copies_only_what_is_new(home: Home) -> None:
    home.put(os.urandom(3_000_000))
    assert home.back_up().copied_bytes > 3_000_000
    home.put(os.urandom(100_000))
    second = home.back_up()
    assert 100_000 < second.copied_bytes < 1_500_000  # the pack of 100,000 bytes, and the dump that changed
    assert second.size_bytes > 3_100_000


def test_jobs_that_ran_go_back_to_the_queue_and_the_backup_itself_does_not(home: Home) -> None:
    with home.ground.database.session(home.actor.tenant_id) as session:
        session.add(Job(kind="test", payload={}, status="running", lease_token="x", handed_at=now()))
        session.add(Job(kind="backup.create", payload={}, status="running", lease_token="y", handed_at=now()))
    home.back_up()
    ground, _ = home.put_back()
    with ground.database.session(home.actor.tenant_id, read_only=True) as session:
        rows = {row.kind: row for row in session.scalars(sa.select(Job))}
    assert (rows["test"].status, rows["test"].handed_at, rows["test"].round) == ("queued", None, 1)
    assert rows["backup.create"].status == "cancelled"


def test_a_missing_or_wrong_key_refuses_with_the_cause_and_changes_nothing(home: Home) -> None:
    home.put(os.urandom(10_000))
    home.back_up()
    bare = home.elsewhere("bare", with_keys=False)
    with unchanged(bare.home), pytest.raises(Refused, match="the master key is missing"):
        restore_backup(bare, home.url)
    wrong = home.elsewhere("wrong", with_keys=False)
    other_key = "A" * 43 + "="
    with unchanged(wrong.home), pytest.raises(IntegrityError, match="made with the master key"):
        restore_backup(wrong.model_copy(update={"master_key": other_key}), home.url)
    unwrapped = home.elsewhere("unwrapped")
    shutil.rmtree(unwrapped.home / "store" / "keys" / home.actor.tenant_id / "packs")
    with unchanged(unwrapped.home), pytest.raises(Refused, match="the keys of 1 packs are missing"):
        restore_backup(unwrapped, home.url)
    shutil.rmtree(unwrapped.home / "store" / "keys")
    shutil.copytree(home.settings.home / "store" / "keys", unwrapped.home / "store" / "keys")
    shutil.rmtree(unwrapped.home / "store" / "keys" / home.actor.tenant_id / "tenant")
    with unchanged(unwrapped.home), pytest.raises(IntegrityError, match="tenant's key .* is missing"):
        restore_backup(unwrapped, home.url)


def test_a_home_that_is_not_empty_refuses(home: Home) -> None:
    home.put(os.urandom(10_000))
    home.back_up()
    home.put(os.urandom(10_000))
    with unchanged(home.settings.home), pytest.raises(Refused, match="the database is not empty"):
        restore_backup(home.settings, home.url)
    other = home.elsewhere()
    for tenant_id in (home.actor.tenant_id, "0198c0de-0000-7000-8000-000000000002"):
        pack = other.folder("store", "packs", tenant_id) / "0198c0de-0000-7000-8000-000000000001"
        pack.write_bytes(b"of another life")
        with unchanged(other.home), pytest.raises(Refused, match="the store .* is not empty"):
            restore_backup(other, home.url)
        pack.unlink()
    ground = home.opened(other)
    bootstrap(ground)
    tenant_id = own_tenant(ground)
    for table, row in (
        ("users", User(email="other@example")),
        ("jobs", Job(tenant_id=tenant_id, kind="test", payload={})),
        ("audit_entries", AuditEntry(tenant_id=tenant_id, user="x", action="model_deleted", resource="x", details={})),
    ):
        with ground.database.system_session("a test goes beyond a first start") as session:
            session.add(row)
        with unchanged(other.home), pytest.raises(Refused, match=f"rows in {table}"):
            restore_backup(other, home.url)
        with ground.database.system_session("a test takes it back") as session:
            if table != "audit_entries":
                session.delete(row)
    fresh = home.elsewhere("fresh")
    bootstrap(ground := home.opened(fresh))
    enqueue_due(ground)
    assert restore_backup(fresh, home.url).packs == 1  # a first start leaves nothing that a restore would overwrite


def test_what_a_backup_lacks_is_named_before_anything_is_written(home: Home) -> None:
    rng = random.Random(7)
    for _ in range(12):
        home.put(rng.randbytes(50_000))
    manifest = home.back_up()
    place = home.folder / "backups"
    everything = [path for part in ("packs", "chunks") for path in sorted((place / part).rglob("*")) if path.is_file()]
    other = home.elsewhere()
    everything = [path for path in everything if path.name != "place"]
    for path in rng.sample(everything, 6):
        good = path.read_bytes()
        path.unlink()
        for quick in (True, False):
            (fault,) = faults_of(home.target, manifest, quick=quick)
            assert path.name in fault.reason
            assert "missing" in fault.reason
        with unchanged(other.home), pytest.raises(IntegrityError, match=path.name):
            restore_backup(other, home.url)
        position = rng.randrange(len(good))
        path.write_bytes(good[:position] + bytes([good[position] ^ 1 << rng.randrange(8)]) + good[position + 1 :])
        (fault,) = faults_of(home.target, manifest)
        assert path.name in fault.reason
        path.write_bytes(good)
    (listed,) = (place / "manifests").iterdir()
    listed.write_text(listed.read_text().replace(manifest.packs[0].checksum, "0" * 64))
    with pytest.raises(IntegrityError, match="changed or damaged"):
        restore_backup(other, home.url)


def test_a_backup_under_load_is_one_moment_and_whole(home: Home) -> None:
    """Writers and collection go on; what was acknowledged before the backup began is in it."""
    home.back_up()
    acknowledged: list[str] = []
    ended = threading.Event()
    failures: list[BaseException] = []

    def busy(seed: int) -> None:
        rng = random.Random(seed)
        try:
            while not ended.is_set():
                acknowledged.append(home.put(rng.randbytes(rng.randrange(1, 40_000))))
                if seed == 1 and len(acknowledged) % 8 == 0:
                    collect(home.ground.blobs, home.actor.tenant_id, grace=timedelta(hours=1))
        except Exception as error:  # noqa: BLE001 told below
            failures.append(error)

    threads = [threading.Thread(target=busy, args=[seed]) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    try:
        while len(acknowledged) < 40 and not failures:
            ended.wait(0.01)
        seen = [*acknowledged]
        manifest = home.back_up()
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert faults_of(home.target, manifest) == []
    ground, _ = home.put_back()
    tenant_id = home.actor.tenant_id
    assert whole(ground, tenant_id)
    for digest in seen:
        assert ground.blobs.read(tenant_id, digest)
    with ground.database.session(tenant_id, read_only=True) as session:
        named = {row.payload["digest"] for row in session.scalars(sa.select(Job).where(Job.kind == "test"))}
        kept = set(session.scalars(sa.select(BlobRow.digest)))
    assert set(seen) <= named <= kept


def test_what_was_destroyed_since_stays_destroyed_and_what_lay_beside_it_is_found(home: Home) -> None:
    home.shelf.base()
    tuned = home.shelf.adapter()
    shared = os.urandom(300_000)
    secret = home.put(shared + b"the person " * 50_000)
    kept = home.put(shared + b"another " * 1000)
    backup = home.back_up()
    tenant_id = home.actor.tenant_id
    weights = max(tuned.manifest["files"], key=lambda file: file["size_bytes"])["digests"]["sha256"]
    home.destroy(secret, weights)
    ground, restored = home.put_back()
    assert restored.backup_id == backup.id
    assert restored.destroyed_packs > 0
    assert restored.destroyed_versions == ["tuned:1.0.0"]
    assert ground.blobs.read(tenant_id, kept) == shared + b"another " * 1000
    assert whole(ground, tenant_id)
    assert verify_version(ground, tenant_id, "small").files == 2
    for digest in (secret, weights):
        with pytest.raises(NotFound):
            ground.blobs.read(tenant_id, digest)
    with ground.database.session(tenant_id, read_only=True) as session:
        for reference in ("tuned:1.0.0", tuned.id):
            with pytest.raises(NotFound, match="destroyed for good"):
                resolve_version(session, reference)


def test_collection_after_a_backup_leaves_it_readable(home: Home) -> None:
    """Many small packs are joined and their keys destroyed; the backup finds their segments in the new one."""
    files = {home.put(data): data for data in (os.urandom(2_000) for _ in range(40))}
    backup = home.back_up()
    collect(home.ground.blobs, home.actor.tenant_id, grace=timedelta(hours=1))
    with home.ground.database.session(home.actor.tenant_id, read_only=True) as session:
        left = session.scalars(sa.select(Pack.id)).all()
    assert len(left) < 40
    ground, restored = home.put_back()
    assert (restored.backup_id, restored.destroyed_versions) == (backup.id, [])
    assert {digest: ground.blobs.read(home.actor.tenant_id, digest) for digest in files} == files
    assert whole(ground, home.actor.tenant_id)


def test_no_key_goes_before_the_backup_has_what_took_over(home: Home) -> None:
    secret, kept = home.put(b"x" * 100_000), home.put(b"y" * 100_000)
    home.back_up()
    place = home.folder / "backups" / "packs"
    place.rename(place.with_name("away"))
    with pytest.raises(Unavailable, match="is it mounted"):
        home.destroy(secret)
    assert home.ground.blobs.read(home.actor.tenant_id, kept)
    place.with_name("away").rename(place)
    collect(home.ground.blobs, home.actor.tenant_id, grace=timedelta(hours=1))
    with home.ground.database.session(home.actor.tenant_id, read_only=True) as session:
        assert session.scalars(sa.select(Pack.id).where(Pack.doomed_at.is_not(None))).all() == []
    assert home.ground.blobs.read(home.actor.tenant_id, kept) == b"y" * 100_000


def test_old_backups_go_with_what_only_they_name_and_the_newest_stays(home: Home) -> None:
    gone = home.ground.blobs.put(home.actor.tenant_id, os.urandom(200_000)).digest
    first = home.back_up()
    collect(home.ground.blobs, home.actor.tenant_id, grace=NO_GRACE)
    kept = home.put(os.urandom(100_000))
    second = home.back_up()
    assert not home.ground.blobs.exists(home.actor.tenant_id, gone)
    assert let_go(home.target, timedelta(days=30), fresh=NO_GRACE).removed == []
    assert home.target.manifest_ids() == [second.id, first.id]
    assert let_go(home.target, NO_GRACE, fresh=NO_GRACE).removed == [first.id]
    packs = [path.name for path in (home.folder / "backups" / "packs").glob("*/*")]
    assert sorted(packs) == sorted(pack.id for pack in second.packs)
    ground, _ = home.put_back()
    assert ground.blobs.read(home.actor.tenant_id, kept)


def test_a_damaged_page_of_the_database_is_found_and_the_last_backup_stays(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with ExitStack() as held:
        home = Home("sqlite", tmp_path, request, held)
        for _ in range(30):
            home.put(os.urandom(3_000))
        good = home.back_up()
        home.ground.database.close()
        path = home.settings.home / "tunery.sqlite"
        data = bytearray(path.read_bytes())
        page = 4096 * (len(data) // 4096 // 2)
        data[page : page + 200] = bytes(byte ^ 0xFF for byte in data[page : page + 200])
        path.write_bytes(data)
        with pytest.raises(IntegrityError, match="the database is damaged"):
            home.back_up()
        assert home.target.manifest_ids() == [good.id]
        ground, _ = home.put_back()
        assert whole(ground, home.actor.tenant_id)


def test_a_damaged_pack_is_mended_from_the_backup(home: Home) -> None:
    digest = home.put(b"z" * 50_000 + os.urandom(50_000))
    home.back_up()
    flip_a_bit(home.ground, home.actor.tenant_id, digest)
    (damage,) = check(home.ground.blobs, home.actor.tenant_id)
    assert home.ground.blobs.mirror is not None
    (told,) = mend(home.ground.blobs, home.actor.tenant_id, [damage], home.ground.blobs.mirror)
    assert told.mended
    assert whole(home.ground, home.actor.tenant_id)


def test_a_backup_is_enqueued_when_its_time_has_come_and_only_one(home: Home) -> None:
    def jobs() -> list[Job]:
        with home.ground.database.system_session("a test counts", read_only=True) as session:
            return list(session.scalars(sa.select(Job).where(Job.kind == "backup.create")))

    for _ in range(3):
        enqueue_due(home.ground)
    (first,) = jobs()
    with home.ground.database.system_session("a test ends a job") as session:
        session.execute(sa.update(Job).where(Job.id == first.id).values(status="succeeded"))
    enqueue_due(home.ground)
    assert len(jobs()) == 1
    with home.ground.database.system_session("a test lets a day pass") as session:
        before = now() - timedelta(hours=25)
        session.execute(sa.update(Job).where(Job.id == first.id).values(created_at=before))
    enqueue_due(home.ground)
    assert len(jobs()) == 2


def test_without_a_place_nothing_is_scheduled(home: Home) -> None:
    enqueue_due(home.opened(home.settings.model_copy(update={"backup_url": ""})))
    with home.ground.database.system_session("a test counts", read_only=True) as session:
        assert session.scalars(sa.select(Job)).all() == []


def test_through_the_doors_a_backup_is_made_listed_verified_and_put_back(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The main path as the operator walks it; others are turned away."""
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="tnr-")))
        settings = held.enter_context(fresh_settings("sqlite", folder / "home", request))
        url = (folder / "backups").as_uri()
        door = held.enter_context(opened(settings.model_copy(update={"backup_url": url})))
        operator = _operator(door)
        admin = door.admit("acme/admin", "model_admin")
        for method, path in (("POST", "backups"), ("GET", "backups"), ("POST", "backups/verify")):
            answer = admin.http.request(method, f"/api/v1/{path}", json={} if method == "POST" else None)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
        assert operator.get("/api/v1/backups").status_code == 404
        digest = data_of(admin.http.put("/api/v1/files", content=b"rows"))["digest"]
        job_id = data_of(operator.post("/api/v1/backups"))["jobId"]
        assert data_of(operator.post("/api/v1/backups"))["jobId"] == job_id  # one at a time
        tenant_id = own_tenant(door.ground)
        made = door.carry_out(tenant_id, job_id)
        (listed,) = data_of(operator.get("/api/v1/backups"))
        assert (listed["id"], listed["sizeBytes"], listed["packs"]) == (made["backup_id"], made["size_bytes"], 1)
        assert (listed["state"], listed["missingPacks"], made["missing_packs"]) == ("complete", [], {})
        (pack,) = (folder / "backups" / "packs" / admin.actor.tenant_id).iterdir()
        good = pack.read_bytes()
        pack.chmod(0o600)
        pack.write_bytes(good[:-1] + b"?")
        job_id = data_of(operator.post("/api/v1/backups/verify", json={}))["jobId"]
        (fault,) = door.carry_out(tenant_id, job_id)["faults"]
        assert pack.name in fault
        made = door.carry_out(tenant_id, data_of(operator.post("/api/v1/backups"))["jobId"])
        assert pack.read_bytes() == good
        for body in ({}, {"quick": True}, {"backupId": made["backup_id"]}):
            job_id = data_of(operator.post("/api/v1/backups/verify", json=body))["jobId"]
            assert door.carry_out(tenant_id, job_id)["faults"] == []
        shutil.rmtree(folder / "backups")  # a disk that is not mounted any more is not taken for an empty one
        job_id = data_of(operator.post("/api/v1/backups"))["jobId"]
        with pytest.raises(NotFound, match="is it mounted"):
            door.carry_out(tenant_id, job_id)
        held.enter_context(_again(folder, door))
        other = folder / "other"
        for part in ("keys", "store/keys"):
            shutil.copytree(settings.home / part, other / part)
        monkeypatch.setenv("TUNERY_HOME", str(other))
        monkeypatch.setenv("TUNERY_BACKUP_URL", url)
        capsys.readouterr()
        assert run(["backup", "restore", "--confirm", "--json"]) == 0
        restored = json.loads(capsys.readouterr().out)
        ground = Ground.build(Settings(home=other, _env_file=None))
        held.callback(ground.database.close)
        assert ground.blobs.read(admin.actor.tenant_id, digest) == b"rows"
        assert restored["backup_id"] in {path.name for path in (folder / "backups" / "manifests").iterdir()}
        assert run(["backup", "restore", "--confirm", "--json"]) == 6
        assert "not empty" in capsys.readouterr().err


@contextmanager
def _again(folder: Path, door: Door) -> Iterator[None]:
    """Begin at a place of backups that was lost: its operator says so by making it by hand."""
    create_backup(door.ground, open_target((folder / "backups").as_uri(), master_keys(door.ground.settings), make=True))
    yield


def _operator(door: Door) -> httpx.Client:
    return door.client("local/owner", bootstrap(door.ground))


def own_tenant(ground: Ground) -> str:
    """The operator's tenant."""
    with ground.database.system_session("a test looks for the operator", read_only=True) as session:
        return session.scalars(sa.select(Tenant.id).where(Tenant.is_operator)).one()
