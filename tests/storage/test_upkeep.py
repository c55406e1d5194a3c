"""Usage, check, collection, keys, destruction, backups: through the door, on both databases."""

from __future__ import annotations

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.doors.door import Door, Person
from tests.doors.things import data_of, register, upload
from tests.registry.folders import make_adapter_folder, make_model_folder
from tests.stored import flip_a_bit, stored_at
from tunery.audit import AuditEntry
from tunery.errors import IntegrityError, NotFound
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.kit.ids import new_id
from tunery.platform.blobs.backends import Entry
from tunery.platform.blobs.emptying import empty_packs, finish_doomed
from tunery.platform.blobs.packs import PackWriter
from tunery.platform.blobs.references import DOOMED
from tunery.platform.blobs.tables import BlobRow, Pack, Segment
from tunery.platform.ground import Ground
from tunery.platform.jobs import Job, JobContext
from tunery.registry.operations import checkout_version
from tunery.storage.upkeep.jobs import check_store
from tunery.storage.upkeep.sweeps import sweep_bytes
from tunery.training.tables import TrainingRun


@pytest.fixture
def models(door: Door, admin: Person, tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    """A base and an adapter of it, under names of this test's own."""
    word = request.node.name.split("[")[0].replace("_", "-")[-40:].strip("-")
    seed = sum(map(ord, word))
    base = register(admin, f"{word}-base", make_model_folder(tmp_path / "base", seed=seed), isBase=True)
    adapter = make_adapter_folder(tmp_path / "adapter", seed=seed)
    return {"base": base, "tuned": register(admin, f"{word}-tuned", adapter, baseReference=f"{word}-base")}


def done(door: Door, person: Person, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Ask for a job and carry it out."""
    job_id = data_of(person.http.post(f"/api/v1/{path}", json=body or {}))["jobId"]
    return door.carry_out(person.actor.tenant_id, job_id)


def weights(version: dict[str, Any]) -> str:
    files = version["manifest"]["files"]
    return str(max(files, key=lambda file: file["size_bytes"])["digests"]["sha256"])


def audited(door: Door, person: Person, action: str) -> list[AuditEntry]:
    with door.ground.database.session(person.actor.tenant_id, read_only=True) as session:
        return list(session.scalars(sa.select(AuditEntry).where(AuditEntry.action == action).order_by(AuditEntry.id)))


def age(door: Door, person: Person) -> None:
    """Let everything in the store look as if it had been there for days."""
    with door.ground.database.session(person.actor.tenant_id) as session:
        for table in (BlobRow, Segment):
            session.execute(sa.update(table).values(touched_at=now() - timedelta(days=3)))


def test_usage_adds_up_by_codec_and_by_model(door: Door, admin: Person, models: dict[str, Any]) -> None:
    use = data_of(admin.http.get("/api/v1/store/usage"))
    assert use["uniqueBytes"] == sum(codec["plainBytes"] for codec in use["codecs"])
    assert use["logicalBytes"] >= use["uniqueBytes"] > 0
    assert use["savedShare"] == pytest.approx(1 - use["storedBytes"] / use["logicalBytes"])
    by_name = {model["model"]: model for model in use["models"]}
    for version in models.values():
        model = by_name[version["reference"].split(":")[0]]
        assert (model["versions"], model["logicalBytes"]) == (1, version["sizeBytes"])
        assert model["storedBytes"] > 0
    assert data_of(door["acme/viewer"].http.get("/api/v1/store/usage")) == use
    empty = data_of(door["rival/admin"].http.get("/api/v1/store/usage"))
    assert (empty["files"], empty["models"], empty["codecs"], empty["savedShare"]) == (0, [], [], 0.0)


def test_check_names_packs_segments_files_and_versions_and_mends_from_a_copy(
    door: Door, admin: Person, models: dict[str, Any], tmp_path: Path
) -> None:
    assert done(door, admin, "store/check")["damages"] == []
    mirror = tmp_path / "mirror"
    shutil.copytree(door.ground.settings.home / "store" / "packs", mirror)
    digest = weights(models["base"])
    pack, _ = stored_at(door.ground, admin.actor.tenant_id, digest)
    flip_a_bit(door.ground, admin.actor.tenant_id, digest)
    for quick in (True, False):
        found = done(door, admin, "store/check", {"quick": quick})
        assert found["left"] == 1
        (damage,) = found["damages"]
        assert (damage["pack_id"], damage["files"]) == (pack.name, [digest])
        assert damage["versions"] == [models["base"]["reference"]]
        assert len(damage["segments"]) == 1
    wish = {"repairUrl": mirror.as_uri()}
    refused = admin.http.post("/api/v1/store/check", json=wish)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")  # acme is not the operator
    refused = admin.http.post("/api/v1/store/check", json={"repairUrl": "backup"})
    assert refused.status_code == 422  # no backup is set here
    with door.ground.database.session(admin.actor.tenant_id) as session:
        job = Job(kind="store.check", payload={"quick": False, "repair_url": mirror.as_uri()})
        session.add(job)
    mended = door.carry_out(admin.actor.tenant_id, job.id)
    assert (mended["left"], [damage["mended"] for damage in mended["damages"]]) == (0, [True])
    assert done(door, admin, "store/check")["damages"] == []
    assert [entry.details["left"] for entry in audited(door, admin, "store_checked")][-3:] == [1, 0, 0]


def test_a_file_that_a_version_names_and_the_store_lacks_is_named(door: Door, models: dict[str, Any]) -> None:
    admin = door["acme/admin"]
    digest = weights(models["tuned"])
    with door.ground.database.session(admin.actor.tenant_id) as session:
        row = session.scalars(sa.select(BlobRow).where(BlobRow.digest == digest)).one()
        session.delete(row)
    (damage,) = done(door, admin, "store/check", {"quick": True})["damages"]
    assert damage["files"] == [digest]
    assert damage["versions"] == [models["tuned"]["reference"]]
    assert models["tuned"]["reference"] in damage["reason"]
    rebuilt = done(door, admin, "store/rebuild")
    assert digest in rebuilt["files"]
    assert done(door, admin, "store/check", {"quick": True})["damages"] == []


def test_check_names_whatever_names_a_lost_file_and_the_packs_that_no_row_knows(ground: Ground, actor: Actor) -> None:
    lost, doomed = (ground.blobs.put(actor.tenant_id, os.urandom(1000)).digest for _ in range(2))
    with ground.database.session(actor.tenant_id) as session:
        session.execute(sa.delete(BlobRow))
        named = Job(kind="test", payload={"file": lost})
        session.add_all([named, Job(kind="test", payload={DOOMED: [doomed]})])
        job = Job(kind="store.check", payload={"quick": True}, status="running", lease_token=new_id())
        session.add(job)
    pack = PackWriter(actor.tenant_id, ground.blobs.staging, ground.blobs.keyring)
    pack.place(ground.blobs.backend, [])
    for part in (f"packs/{actor.tenant_id}", f"keys/{actor.tenant_id}/packs"):
        os.utime(ground.settings.home / "store" / part / pack.pack_id, (1, 1))
    found = check_store(JobContext(ground, job, str(job.lease_token), lambda: False), job.payload)
    (damage,) = found["damages"]
    assert (damage["files"], damage["reason"]) == (
        [lost],
        f"file {lost} is not in the store; named by jobs {named.id}",
    )
    assert found["unreferenced"] == {pack.pack_id: pack.size_bytes}


def test_a_dry_run_says_exactly_what_the_run_frees(door: Door, admin: Person, models: dict[str, Any]) -> None:
    digest = upload(admin, os.urandom(300_000))
    assert done(door, admin, "store/gc", {"graceHours": 1})["files"] == []
    age(door, admin)
    told = done(door, admin, "store/gc", {"dryRun": True})
    assert digest in told["files"]
    assert told["freed_bytes"] > 300_000
    assert door.ground.blobs.exists(admin.actor.tenant_id, digest)
    ran = done(door, admin, "store/gc")
    assert {**ran, "dry_run": True} == told
    assert admin.http.get(f"/api/v1/files/{digest}").status_code == 404
    assert data_of(admin.http.post(f"/api/v1/{verify(models['tuned'])}"))["files"] == 2
    assert admin.http.post("/api/v1/store/gc", json={"graceHours": 0.5}).status_code == 422
    assert [entry.details["freed_bytes"] for entry in audited(door, admin, "store_collected")][-1] == told[
        "freed_bytes"
    ]


def test_housekeeping_collects_a_tenant_of_whom_no_row_is_left(ground: Ground, actor: Actor) -> None:
    """An upload that broke off before its rows leaves a pack and its key; they go though the tenant has no pack."""
    folder = ground.settings.home / "store"
    pack = PackWriter(actor.tenant_id, ground.blobs.staging, ground.blobs.keyring)
    pack.add(b"x" * 32, 4, "raw", b"data", None)
    pack.place(ground.blobs.backend, [])
    left = [folder / part / pack.pack_id for part in (f"packs/{actor.tenant_id}", f"keys/{actor.tenant_id}/packs")]
    sweep_bytes(ground)
    assert all(path.exists() for path in left)  # it may still be on its way
    for path in left:
        os.utime(path, (1, 1))
    sweep_bytes(ground)
    assert not any(path.exists() for path in left)


def test_a_key_that_was_replaced_while_a_writer_slept_is_not_used_by_it(ground: Ground, actor: Actor) -> None:
    """The writer wakes with the old key in hand, after the new one was made and the old one could be retired."""
    keyring = ground.blobs.keyring
    first = ground.blobs.put(actor.tenant_id, b"first")
    names = keyring._tenant_key_entries
    slept = False

    def stale(tenant_id: str) -> dict[str, Entry]:
        nonlocal slept
        seen = names(tenant_id)
        if not slept:
            slept = True
            keyring.rotate(actor.tenant_id)
        return seen

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyring, "_tenant_key_entries", stale)
        second = ground.blobs.put(actor.tenant_id, b"second")
    assert keyring.retire(actor.tenant_id, now() + timedelta(hours=1)) == 1
    fresh = Ground.build(ground.settings)
    for blob, data in ((first, b"first"), (second, b"second")):
        assert fresh.blobs.read(actor.tenant_id, blob.digest) == data
    fresh.database.close()


def test_new_keys_need_no_new_data(door: Door, admin: Person, models: dict[str, Any]) -> None:
    folder = door.ground.settings.home / "store"
    tenant = admin.actor.tenant_id
    packs = {path: path.stat().st_mtime_ns for path in (folder / "packs" / tenant).iterdir()}
    before = {
        path.name: json.loads(path.read_bytes())["tenant"] for path in (folder / "keys" / tenant / "packs").iterdir()
    }
    assert done(door, admin, "store/rotate-keys")["packs"] == len(before)
    after = {
        path.name: json.loads(path.read_bytes())["tenant"] for path in (folder / "keys" / tenant / "packs").iterdir()
    }
    assert set(after.values()).isdisjoint(before.values())
    assert {path: path.stat().st_mtime_ns for path in (folder / "packs" / tenant).iterdir()} == packs
    assert data_of(admin.http.post(f"/api/v1/{verify(models['base'])}"))["files"] == 2


def test_a_destroyed_version_is_gone_for_good_and_what_others_hold_is_spared(
    door: Door, admin: Person, models: dict[str, Any], tmp_path: Path
) -> None:
    tuned = models["tuned"]
    damages = done(door, admin, "store/check", {"quick": True})["damages"]  # others may have left some
    name = tuned["reference"].split(":")[0]
    folder = tmp_path / "adapter"
    (folder / "adapter_model.safetensors").unlink()
    second = make_adapter_folder(tmp_path / "second", seed=99)
    shared = "adapter_config.json"
    (second / shared).write_bytes((folder / shared).read_bytes())
    kept = register(admin, name, second, baseReference=models["base"]["reference"])
    folders = [checkout_version(door.ground, admin.actor.tenant_id, one["id"]) for one in (tuned, kept)]
    converted = door.ground.settings.folder("cache", "engines", admin.actor.tenant_id, "gguf")
    made = [
        converted / f"{one['manifestDigest']}-on-{models['base']['manifestDigest']}-v1.gguf" for one in (tuned, kept)
    ]
    for path in made:
        path.write_text("weights")
    address = f"/api/v1/models/{name}/versions/{tuned['version']}"
    gone = data_of(admin.http.delete(address, params={"destroy": True}))
    assert gone["status"] == "erased"
    result = door.carry_out(admin.actor.tenant_id, gone["jobId"])
    assert door.carry_out(admin.actor.tenant_id, gone["jobId"])["destroyed"] == []  # as after a crash
    assert result["destroyed"] == [weights(tuned)]
    (holders,) = result["spared"].values()  # the adapter's settings, which every adapter of these tests shares
    assert kept["reference"] in holders
    assert tuned["reference"] not in holders
    with pytest.raises(NotFound):
        door.ground.blobs.read(admin.actor.tenant_id, weights(tuned))
    assert [path.exists() for path in [*folders, *made]] == [False, True, False, True]
    answer = admin.http.get(address)
    assert answer.status_code == 404
    assert "destroyed for good" in answer.json()["detail"]
    assert data_of(admin.http.post(f"/api/v1/{verify(kept)}"))["files"] == 2
    checked = done(door, admin, "store/check")
    assert checked["damages"] == damages
    assert tuned["reference"] in checked["destroyed_versions"]
    assert audited(door, admin, "model_destroyed")[-2].details["destroyed"] == [weights(tuned)]


def test_a_plain_deletion_starts_no_destruction(door: Door, admin: Person, models: dict[str, Any]) -> None:
    name, _, version = models["tuned"]["reference"].partition(":")
    gone = data_of(admin.http.delete(f"/api/v1/models/{name}/versions/{version}"))
    assert (gone["status"], gone["jobId"]) == ("deleted", None)
    assert door.ground.blobs.exists(admin.actor.tenant_id, weights(models["tuned"]))


def verify(version: dict[str, Any]) -> str:
    name, _, number = version["reference"].partition(":")
    return f"models/{name}/versions/{number}/verify"


def destroyed(door: Door, admin: Person, version: dict[str, Any], **how: Any) -> dict[str, Any]:
    name, _, number = version["reference"].partition(":")
    wish = {"destroy": True, **how}
    gone = data_of(admin.http.delete(f"/api/v1/models/{name}/versions/{number}", params=wish))
    return door.carry_out(admin.actor.tenant_id, gone["jobId"])


def test_a_version_that_was_deleted_long_ago_can_still_be_destroyed(
    door: Door, admin: Person, models: dict[str, Any]
) -> None:
    name, _, number = models["tuned"]["reference"].partition(":")
    data_of(admin.http.delete(f"/api/v1/models/{name}/versions/{number}"))
    age(door, admin)
    done(door, admin, "store/gc")
    assert not door.ground.blobs.exists(admin.actor.tenant_id, weights(models["tuned"]))
    assert destroyed(door, admin, models["tuned"])["destroyed"] == [], (
        "what no row named is destroyed with all that is dead"
    )
    assert "destroyed for good" in admin.http.get(f"/api/v1/models/{name}/versions/{number}").json()["detail"]
    stranger = door["rival/admin"].http.delete(f"/api/v1/models/{name}/versions/{number}", params={"destroy": True})
    assert stranger.status_code == 404


def test_what_an_unregistered_run_made_is_spared(door: Door, admin: Person, models: dict[str, Any]) -> None:
    digest, base = weights(models["tuned"]), models["base"]
    with door.ground.database.session(admin.actor.tenant_id) as session:
        about = {
            "config": {},
            "dataset_version_id": new_id(),
            "dataset_reference": "rows:1",
            "dataset_digest": "0" * 64,
        }
        on = {"base_version_id": base["id"], "base_reference": base["reference"], "base_digest": base["manifestDigest"]}
        files = [{"path": "adapter_model.safetensors", "digest": digest, "size_bytes": 1}]
        run = TrainingRun(name="again", method="lora", created_by="x", status="succeeded", files=files, **about, **on)
        session.add(run)
    result = destroyed(door, admin, models["tuned"])
    assert result["spared"][digest] == [f"training_runs {run.id}"]
    assert door.ground.blobs.exists(admin.actor.tenant_id, digest)
    with door.ground.database.session(admin.actor.tenant_id) as session:
        session.delete(session.get_one(TrainingRun, run.id))
    assert destroyed(door, admin, models["tuned"])["destroyed"] == [digest], "it may be ordered again"


def test_a_damaged_neighbour_is_given_up_where_that_is_wanted(
    door: Door, admin: Person, models: dict[str, Any]
) -> None:
    store, tenant_id = door.ground.blobs, admin.actor.tenant_id
    with door.ground.database.session(tenant_id, read_only=True) as session:
        packs = [*session.scalars(sa.select(Pack.id))]
    empty_packs(store, tenant_id, packs)  # all of it lies in one pack now
    finish_doomed(store, tenant_id)
    flip_a_bit(door.ground, tenant_id, weights(models["base"]))
    with pytest.raises(IntegrityError, match="--lose-damaged"):
        destroyed(door, admin, models["tuned"])
    result = destroyed(door, admin, models["tuned"], lose_damaged=True)
    assert weights(models["tuned"]) in result["destroyed"]  # so are its settings, where no other test shares them
    assert result["lost"] == [weights(models["base"])]
    damages = done(door, admin, "store/check")["damages"]
    assert models["base"]["reference"] in [name for damage in damages for name in damage["versions"]]
    assert audited(door, admin, "model_destroyed")[-1].details["lost"] == [weights(models["base"])]
