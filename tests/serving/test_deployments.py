"""Deployments come up, flip, fail and come back."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import sqlalchemy as sa

from tests.registry.folders import make_model_folder
from tests.serving.conftest import Stage, until
from tests.serving.teller import TELLER, TEMPLATE_DIGEST
from tests.stored import flip_a_bit
from tunery.audit import AuditEntry
from tunery.errors import Conflict, NotFound, Refused, Unavailable
from tunery.kit.actor import Actor
from tunery.lineage.operations import graph_of
from tunery.registry.operations import delete_version, move_stage
from tunery.registry.tables import ModelVersion
from tunery.serving.engine_pool import EnginePool
from tunery.serving.operations import (
    delete_deployment,
    deploy_version,
    get_deployment,
    list_deployments,
    stop_deployments_of,
)
from tunery.serving.schemas import DeploymentCreate, DeploymentSection

# The stricter database: what it takes, the other takes.
pytestmark = pytest.mark.parametrize("ground", ["postgres"], indirect=True)


def served(stage: Stage, name: str) -> str:
    """Return the reference of what answers under a name."""
    return stage.pool.resolve(stage.actor.tenant_id, name)[1].reference


def damage(stage: Stage, version: ModelVersion, path: str) -> None:
    """Flip one bit of a stored file, and spoil the copy of it that was loaded."""
    digest = next(f["digests"]["sha256"] for f in version.manifest["files"] if f["path"] == path)
    flip_a_bit(stage.ground, stage.actor.tenant_id, digest)
    for copy in (stage.ground.settings.home / "cache" / "versions").rglob(f"{version.manifest_digest}/{path}"):
        copy.unlink()


def test_a_deployed_adapter_is_ready_with_its_digests(stage: Stage) -> None:
    version = stage.shelf.adapter()
    view = stage.deploy(version)
    assert (view.name, view.status, view.served_version) == ("tuned", "ready", "tuned:1.0.0")
    assert (view.version_digest, view.template_digest) == (version.manifest_digest, TEMPLATE_DIGEST)
    assert view.deployed_at is not None
    assert TELLER.started == [{version.manifest_digest}]


def test_it_is_audited_and_a_node_of_the_lineage(stage: Stage) -> None:
    version = stage.shelf.adapter()
    view = stage.deploy(version)
    with stage.ground.database.session(stage.actor.tenant_id, read_only=True) as session:
        edges = graph_of(session, "deployment", view.id).edges
        assert (version.id, view.id, "deployed_as") in [(e.from_, e.to, e.relation_type) for e in edges]
        actions = [a.action for a in session.scalars(sa.select(AuditEntry)) if a.action.startswith(("model_d", "depl"))]
    assert actions == ["model_deployed", "deployment_flipped"]


def test_wishing_the_same_again_is_no_new_wish(stage: Stage) -> None:
    version = stage.shelf.adapter()
    first = stage.deploy(version)
    assert stage.deploy(version) == first
    assert len(TELLER.started) == 1


def test_adapters_of_one_base_share_an_engine_and_the_old_one_ends(stage: Stage) -> None:
    one, two = stage.shelf.adapter(1), stage.shelf.adapter(2)
    stage.deploy(one, "first")
    stage.deploy(two, "second")
    stage.deploy("small", "plain")
    (engine,) = until(lambda: len(found := TELLER.alive()) == 1 and found)
    assert {held.name for held in engine.spec.adapters} == {one.manifest_digest, two.manifest_digest}
    assert [served(stage, n) for n in ("first", "second", "plain")] == ["tuned:1.0.0", "tuned:1.1.0", "small:1.0.0"]


def test_another_tenant_gets_an_engine_of_its_own(stage: Stage, stranger: Actor) -> None:
    stage.deploy(stage.shelf.adapter())
    other = Stage(stage.ground, stranger, stage.shelf.folder / "theirs")
    other.pool = stage.pool
    other.shelf.base()
    other.deploy("small")
    assert len(TELLER.alive()) == 2
    with pytest.raises(NotFound):
        stage.pool.resolve(stranger.tenant_id, "tuned")


def test_the_pointer_flips_once_the_new_version_answers(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.deploy(stage.shelf.adapter(1), "live")
    start, seen = TELLER.start, threading.Event()
    monkeypatch.setattr(TELLER, "start", lambda *args, **how: seen.wait(60) and start(*args, **how))
    stage.wish(stage.shelf.adapter(2), "live")
    assert stage.look("live").served_version == "tuned:1.0.0"
    assert served(stage, "live") == "tuned:1.0.0"
    seen.set()
    assert stage.settled("live").served_version == "tuned:1.1.0"
    assert served(stage, "live") == "tuned:1.1.0"


def test_a_version_that_fails_its_health_check_leaves_the_earlier_one_live(stage: Stage) -> None:
    stage.deploy(stage.shelf.adapter(1), "live")
    view = stage.deploy(stage.mute_adapter(), "live")
    assert (view.status, view.served_version) == ("failed", "tuned:1.0.0")
    assert "the health check failed" in (view.status_reason or "")
    assert served(stage, "live") == "tuned:1.0.0"
    back = stage.deploy("tuned:1.0.0", "live")
    assert (back.status, back.version) == ("ready", "tuned:1.0.0")


def test_without_a_health_check_it_is_live_once_its_engine_is(stage: Stage) -> None:
    assert stage.deploy(stage.mute_adapter(), health_check_enabled=False).status == "ready"


def test_a_flipped_bit_in_the_adapter_is_refused_and_nothing_is_served(stage: Stage) -> None:
    version = stage.shelf.adapter()
    damage(stage, version, "adapter_model.safetensors")
    view = stage.deploy(version)
    assert (view.status, view.served_version) == ("failed", None)
    assert "is damaged in the store" in (view.status_reason or "")
    assert TELLER.started == []
    until(lambda: _unavailable(stage, "tuned"))


def test_a_flipped_bit_in_the_base_is_refused(stage: Stage) -> None:
    version = stage.shelf.adapter()
    with stage.ground.database.session(stage.actor.tenant_id, read_only=True) as session:
        damage(stage, session.get_one(ModelVersion, version.base_version_id), "model.safetensors")
    assert stage.deploy(version).status == "failed"
    assert TELLER.started == []


def test_a_version_damaged_while_deployed_fails_at_the_next_load_and_its_sisters_go_on(stage: Stage) -> None:
    one, two = stage.shelf.adapter(1), stage.shelf.adapter(2)
    stage.deploy(one, "first")
    stage.deploy(two, "second")
    damage(stage, one, "adapter_model.safetensors")
    until(lambda: len(TELLER.alive()) == 1)
    os.kill(TELLER.alive()[0].pid, signal.SIGKILL)
    until(lambda: stage.look("first").status == "failed")
    assert stage.look("first").served_version is None
    until(lambda: stage.look("second").status == "ready" and len(TELLER.alive()) == 1)
    (engine,) = TELLER.alive()
    assert {held.name for held in engine.spec.adapters} == {two.manifest_digest}


def test_a_foreign_signature_is_refused(stage: Stage) -> None:
    version = stage.shelf.adapter(1)
    other = stage.shelf.adapter(2)
    with stage.ground.database.session(stage.actor.tenant_id) as session:
        session.get_one(ModelVersion, version.id).signature = other.signature
    view = stage.deploy(version)
    assert (view.status, view.served_version) == ("failed", None)
    assert TELLER.started == []


def test_a_killed_engine_is_started_again(stage: Stage) -> None:
    stage.deploy(stage.shelf.adapter())
    (first,) = TELLER.alive()
    os.kill(first.pid, signal.SIGKILL)
    (second,) = until(lambda: [engine for engine in TELLER.alive() if engine.pid != first.pid])
    assert stage.settled("tuned").status == "ready"
    assert second.spec.adapters == first.spec.adapters


def test_deployments_come_back_after_a_restart(stage: Stage) -> None:
    stage.deploy(stage.shelf.adapter())
    stage.pool.stop()
    assert TELLER.alive() == []
    stage.pool = EnginePool(stage.ground)
    stage.pool.start()
    assert served(stage, "tuned") == "tuned:1.0.0"
    assert TELLER.alive() == []
    _, member = stage.pool.resolve(stage.actor.tenant_id, "tuned")
    held = until(lambda: stage.pool.lease(member))
    stage.pool.release(held)


def test_a_warm_start_loads_every_deployment(stage: Stage) -> None:
    stage.deploy(stage.shelf.adapter())
    stage.pool.stop()
    stage.pool = EnginePool(stage.ground)
    stage.pool.start(warm=True)
    until(TELLER.alive)


def test_a_start_that_a_crash_cut_off_goes_on(stage: Stage) -> None:
    version = stage.shelf.adapter()
    stage.pool.stop()
    stage.wish(version)
    stage.pool = EnginePool(stage.ground)
    stage.pool.start()
    assert stage.settled("tuned").status == "ready"


def test_a_deleted_deployment_answers_no_more_and_its_engine_ends(stage: Stage) -> None:
    stage.deploy(stage.shelf.adapter())
    with stage.ground.database.session(stage.actor.tenant_id) as session:
        delete_deployment(session, stage.actor, "tuned")
    stage.pool.wake()
    until(lambda: TELLER.alive() == [])
    with pytest.raises(NotFound):
        stage.pool.resolve(stage.actor.tenant_id, "tuned")


def test_an_archived_version_is_stopped(stage: Stage) -> None:
    version = stage.shelf.adapter()
    stage.deploy(version)
    with stage.ground.database.session(stage.actor.tenant_id) as session:
        for seen, to in [("development", "deprecated"), ("deprecated", "archived")]:
            move_stage(session, stage.actor, version.id, seen, to)
        assert stop_deployments_of(session, stage.actor, version.id, "its version was archived")
        assert stop_deployments_of(session, stage.actor, version.id, "its version was archived") == []
    stage.pool.wake()
    until(lambda: TELLER.alive() == [])
    assert stage.look("tuned").status == "stopped"
    with pytest.raises(Refused, match="archived"):
        stage.wish(version)


def test_a_version_that_is_gone_answers_no_more(stage: Stage) -> None:
    version = stage.shelf.adapter()
    stage.deploy(version)
    with stage.ground.database.session(stage.actor.tenant_id) as session:
        with pytest.raises(Conflict, match="deployment tuned"):
            delete_version(session, stage.actor, version.id)
        session.execute(sa.update(ModelVersion).where(ModelVersion.id == version.id).values(status="deleted"))
    stage.pool.wake()
    until(lambda: TELLER.alive() == [])
    assert _unavailable(stage, "tuned")
    assert stage.look("tuned").status == "failed"


def test_a_deployment_that_leaves_its_base_takes_its_engine_along(stage: Stage) -> None:
    stage.deploy(stage.shelf.adapter(), "live")
    full = stage.shelf.register("whole", make_model_folder(stage.shelf.folder / "whole", 5))
    stage.deploy(full, "live")
    (engine,) = until(lambda: len(found := TELLER.alive()) == 1 and found)
    assert engine.spec.model_digest == full.manifest_digest
    assert served(stage, "live") == "whole:1.0.0"


def test_a_name_means_a_deployment_then_a_version_then_a_model(stage: Stage) -> None:
    stage.deploy(stage.shelf.adapter(1), "first")
    stage.deploy(stage.shelf.adapter(2), "second")
    names = ("first", "acme/first", "tuned:1.0.0", "tuned:1.1.0", "tuned", "acme/tuned:1.0.0")
    answers = [served(stage, name) for name in names]
    assert [a.removeprefix("tuned:") for a in answers] == ["1.0.0", "1.0.0", "1.0.0", "1.1.0", "1.1.0", "1.0.0"]
    for unknown in ("small", "tuned:2.0.0", "rival/first", "../first", "", "x" * 10**6, "a/b:v1", "acme/acme/first"):
        with pytest.raises(NotFound):
            stage.pool.resolve(stage.actor.tenant_id, unknown)


@pytest.mark.parametrize("name", ["../x", "$(id)", "a\nb", "x" * 300, "A b", ""])
def test_a_name_that_is_none_is_refused(name: str, ground: object) -> None:
    with pytest.raises(ValueError, match="is no name"):
        DeploymentCreate(version="tuned", name=name)


def test_the_recipe_section_reads_r5_as_it_stands(ground: object) -> None:
    section = DeploymentSection(auto_deploy=False, deployment_target="local", health_check_enabled=True)
    assert (section.name, section.environment, section.engine) == (None, "local", None)
    with pytest.raises(ValueError, match="there is no engine 'llama'; known: llama"):
        DeploymentSection(engine="llama")


def test_other_tenants_see_no_deployment(stage: Stage, stranger: Actor) -> None:
    stage.deploy(stage.shelf.adapter())
    with stage.ground.database.session(stranger.tenant_id) as session:
        assert list_deployments(session).total == 0
        with pytest.raises(NotFound):
            get_deployment(session, "tuned")
        with pytest.raises(NotFound):
            deploy_version(session, stage.ground, stranger, DeploymentCreate(version="tuned"))


def _unavailable(stage: Stage, name: str) -> bool:
    with pytest.raises((Unavailable, NotFound)) as caught:
        stage.pool.resolve(stage.actor.tenant_id, name)
    return caught.type is Unavailable
