"""When a recipe is the same run, and when it is a new one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doors.things import ROWS, recipe
from tests.registry.conftest import Shelf, shelf
from tests.registry.folders import make_model_folder
from tests.registry.hub_server import commit_of, hub_server
from tunery.errors import InvalidInput, NotFound
from tunery.pipelines.operations import start_pipeline
from tunery.pipelines.schemas import PipelineStart
from tunery.pipelines.tables import Pipeline
from tunery.registry.operations import move_stage
from tunery.registry.tables import ModelVersion

__all__ = ["shelf"]


def start(shelf: Shelf, base: str) -> Pipeline:
    digest = shelf.ground.blobs.put(shelf.actor.tenant_id, ROWS).digest
    wish = PipelineStart(recipe=recipe(base), inputs={"rows.jsonl": digest})
    with shelf.ground.database.session(shelf.actor.tenant_id) as session:
        return start_pipeline(session, shelf.ground, shelf.actor, wish)


def register(shelf: Shelf, seed: int, name: str = "small") -> ModelVersion:
    return shelf.register(name, make_model_folder(shelf.folder / f"base-{seed}", seed), is_base=True)


def move_to_testing(shelf: Shelf, version: ModelVersion) -> None:
    with shelf.ground.database.session(shelf.actor.tenant_id) as session:
        move_stage(session, shelf.actor, version.id, "development", "testing")


def test_another_version_in_the_stage_is_a_new_run_and_the_same_one_is_the_same_run(shelf: Shelf) -> None:
    first, second = register(shelf, 1), register(shelf, 2)
    move_to_testing(shelf, first)
    before = start(shelf, "small:testing")
    assert before.base == first.reference == "small:1.0.0"
    assert start(shelf, "small:testing").id == before.id
    assert start(shelf, "small:1.0.0").id == before.id
    move_to_testing(shelf, second)
    after = start(shelf, "small:testing")
    assert after.base == second.reference == "small:1.1.0"
    assert (after.id == before.id, after.number) == (False, 1)
    assert start(shelf, "small").id == after.id


def test_equal_bytes_under_another_name_are_the_same_run(shelf: Shelf) -> None:
    register(shelf, 1)
    register(shelf, 1, "copy")
    assert start(shelf, "small").id == start(shelf, "copy").id


def test_a_base_that_is_not_there_or_an_adapter_starts_nothing(shelf: Shelf) -> None:
    shelf.base()
    shelf.adapter()
    with pytest.raises(NotFound, match="nothing-such"):
        start(shelf, "nothing-such")
    with pytest.raises(InvalidInput, match="is an adapter"):
        start(shelf, "tuned")


def test_a_branch_of_the_hub_counts_by_its_commit(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with hub_server() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        repository = hub.add("org/tiny")
        before = start(shelf, "org/tiny")
        assert before.base == f"org/tiny@{commit_of('org/tiny')}"
        assert start(shelf, "org/tiny@main").id == before.id
        repository.branches["main"] = commit_of("later")
        repository.commits[commit_of("later")] = {}
        assert start(shelf, "org/tiny").base == f"org/tiny@{commit_of('later')}"
        assert start(shelf, f"org/tiny@{commit_of('org/tiny')}").id == before.id
    assert start(shelf, "org/tiny").base == f"org/tiny@{commit_of('later')}"  # the Hub is away, its cache knows
