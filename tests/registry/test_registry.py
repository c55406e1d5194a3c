"""What the registry promises: immutable, signed, verified at every load, unseen by others."""

from __future__ import annotations

import copy
import json

import pytest
import sqlalchemy as sa

from tests.registry.conftest import Shelf
from tests.registry.folders import make_adapter_folder, make_model_folder
from tests.stored import flip_a_bit
from tunery.audit import AuditEntry
from tunery.errors import (
    Conflict,
    IntegrityError,
    InvalidInput,
    NotFound,
    Refused,
    SignatureInvalid,
    StaleState,
    UnsafeFormat,
)
from tunery.kit.actor import Actor
from tunery.kit.references import HUB_ID
from tunery.lineage.operations import graph_of
from tunery.registry.operations import (
    checkout_version,
    delete_version,
    list_versions,
    move_stage,
    prepare_version,
    resolve_version,
    verify_version,
)
from tunery.registry.schemas import ArtifactFile
from tunery.registry.tables import ModelVersion, SigningKey


def test_versions_count_up_and_a_bare_name_is_the_highest(shelf: Shelf) -> None:
    shelf.base()
    assert [shelf.adapter(seed).version for seed in (1, 2, 3)] == ["1.0.0", "1.1.0", "1.2.0"]
    with shelf.ground.database.session(shelf.actor.tenant_id, read_only=True) as session:
        assert resolve_version(session, "tuned").version == "1.2.0"
        assert resolve_version(session, "tuned:1.1.0").version == "1.1.0"
        assert [row.version for row in list_versions(session, "tuned")] == ["1.2.0", "1.1.0", "1.0.0"]


def test_the_same_bytes_again_are_the_same_version(shelf: Shelf) -> None:
    shelf.base()
    assert shelf.adapter().id == shelf.adapter().id


def test_a_version_number_never_gets_other_bytes(shelf: Shelf) -> None:
    shelf.base()
    folder = make_adapter_folder(shelf.folder / "other", seed=7)
    shelf.adapter()
    with pytest.raises(Conflict, match="never change"):
        shelf.register("tuned", folder, base="small", version="1.0.0")


def test_a_checked_out_version_is_what_was_registered(shelf: Shelf) -> None:
    version = shelf.base()
    folder = checkout_version(shelf.ground, shelf.actor.tenant_id, "small")
    source = shelf.folder / "base"
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert verify_version(shelf.ground, shelf.actor.tenant_id, version.id).files == 2


def test_a_flipped_bit_is_refused_at_load_and_named(shelf: Shelf) -> None:
    version = shelf.base()
    digest = version.manifest["files"][-1]["digests"]["sha256"]
    flip_a_bit(shelf.ground, shelf.actor.tenant_id, digest)
    for load in (checkout_version, verify_version):
        with pytest.raises(IntegrityError, match=digest):
            load(shelf.ground, shelf.actor.tenant_id, "small")


def test_a_changed_manifest_or_signature_is_refused_at_load(shelf: Shelf) -> None:
    version = shelf.base()
    manifest = copy.deepcopy(version.manifest)
    manifest["files"][0]["digests"]["sha256"] = "0" * 64
    signature = copy.deepcopy(version.signature)
    signature["signatures"][0]["sig"] = "AA" * 43 + "=="
    for values in ({"manifest": manifest}, {"manifest": version.manifest, "signature": signature}):
        with shelf.ground.database.session(shelf.actor.tenant_id) as session:
            session.execute(sa.update(ModelVersion).values(**values))
        with pytest.raises(SignatureInvalid):
            checkout_version(shelf.ground, shelf.actor.tenant_id, "small")


def test_a_version_signed_by_a_revoked_key_is_refused(shelf: Shelf) -> None:
    version = shelf.base()
    with shelf.ground.database.session(shelf.actor.tenant_id) as session:
        session.execute(sa.update(SigningKey).values(revoked_at=version.created_at))
    with pytest.raises(SignatureInvalid, match="revoked"):
        checkout_version(shelf.ground, shelf.actor.tenant_id, "small")


def test_the_private_key_is_readable_by_its_owner_alone(shelf: Shelf) -> None:
    shelf.base()
    path = shelf.ground.settings.home / "keys" / shelf.actor.tenant_id / "signing.pem"
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_adapter_is_bound_to_its_base_by_digest(shelf: Shelf) -> None:
    base = shelf.base()
    adapter = shelf.adapter()
    assert adapter.base_digest == base.manifest_digest
    assert adapter.manifest["base"] == {"sha256": base.manifest_digest}
    with pytest.raises(InvalidInput, match="needs its base"):
        shelf.register("orphan", shelf.folder / "adapter-1")


def test_a_pickle_is_refused_and_leaves_no_version(shelf: Shelf) -> None:
    folder = make_model_folder(shelf.folder / "bad")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04\x95\x00.")
    with pytest.raises(UnsafeFormat):
        shelf.register("bad", folder)
    with (
        pytest.raises(NotFound),
        shelf.ground.database.session(shelf.actor.tenant_id, read_only=True) as session,
    ):
        resolve_version(session, "bad")


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "modeling_x.py"])
def test_a_model_that_brings_code_is_refused_from_a_folder_and_from_uploads(shelf: Shelf, file: str) -> None:
    folder = make_model_folder(shelf.folder / "bad")
    config = json.loads((folder / "config.json").read_text())
    code = {"auto_map": {"AutoModel": "modeling_x.X", "AutoTokenizer": ["x.Y", None]}}
    text = "raise SystemExit" if file.endswith(".py") else json.dumps(config | code)
    (folder / file).write_text(text)
    with pytest.raises(UnsafeFormat, match=file):
        prepare_version(shelf.ground, shelf.actor.tenant_id, folder)
    files = [
        ArtifactFile(path=path.name, digest=shelf.ground.blobs.put(shelf.actor.tenant_id, path).digest)
        for path in folder.iterdir()
    ]
    with pytest.raises(UnsafeFormat, match=file):
        prepare_version(shelf.ground, shelf.actor.tenant_id, files)


def test_another_tenant_sees_nothing(shelf: Shelf, stranger: Actor) -> None:
    version = shelf.base()
    with shelf.ground.database.session(stranger.tenant_id, read_only=True) as session:
        for reference in ("small", "small:1.0.0", version.id):
            with pytest.raises(NotFound):
                resolve_version(session, reference)
    with pytest.raises(NotFound):
        checkout_version(shelf.ground, stranger.tenant_id, version.id)


def test_stages_move_only_along_the_transitions_and_only_once(shelf: Shelf) -> None:
    version = shelf.base()
    with shelf.ground.database.session(shelf.actor.tenant_id) as session:
        with pytest.raises(Refused, match="may move to: deprecated, testing"):
            move_stage(session, shelf.actor, version.id, "development", "production")
        move_stage(session, shelf.actor, version.id, "development", "testing")
        with pytest.raises(StaleState):
            move_stage(session, shelf.actor, version.id, "development", "testing")


def test_a_base_that_adapters_stand_on_cannot_be_deleted(shelf: Shelf) -> None:
    shelf.base()
    shelf.adapter()
    with shelf.ground.database.session(shelf.actor.tenant_id) as session:
        with pytest.raises(Conflict, match="tuned:1.0.0"):
            delete_version(session, shelf.actor, "small")
        delete_version(session, shelf.actor, "tuned")
        delete_version(session, shelf.actor, "small")


def test_registration_is_audited_and_drawn_in_the_lineage(shelf: Shelf) -> None:
    base, adapter = shelf.base(), shelf.adapter()
    with shelf.ground.database.session(shelf.actor.tenant_id, read_only=True) as session:
        entries = session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id)).all()
        graph = graph_of(session, "model_version", adapter.id)
    assert [(e.action, e.resource) for e in entries] == [
        ("model_registered", "small:1.0.0"),
        ("model_registered", "tuned:1.0.0"),
    ]
    assert [(e.from_, e.to, e.relation_type) for e in graph.edges] == [(base.id, adapter.id, "derived_from")]


def test_a_version_that_came_from_nothing_stands_alone_in_the_lineage(shelf: Shelf) -> None:
    base = shelf.base()
    with shelf.ground.database.session(shelf.actor.tenant_id, read_only=True) as session:
        graph = graph_of(session, "base_model", base.id)
    assert [(n.id, n.name, n.digest) for n in graph.nodes] == [(base.id, "small:1.0.0", base.manifest_digest)]
    assert graph.edges == []


@pytest.mark.parametrize("revision", ["../x", "..", "a/../../x", ".hidden", "a/.b", "x" * 101, "a//b", ""])
def test_a_revision_is_no_path(revision: str) -> None:
    assert HUB_ID.fullmatch(f"org/name@{revision}") is None
    assert HUB_ID.fullmatch("org/name@refs/pr/1") is not None
