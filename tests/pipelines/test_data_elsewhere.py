"""Recipes whose data lie on the Hub, at a web address, or in a dataset that is here already."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.registry.conftest import Shelf, shelf
from tests.registry.hub_server import HubServer, commit_of, hub_server
from tunery.datasets.operations import resolve_version
from tunery.errors import NotFound, RecipeInvalid
from tunery.kit.ids import new_id
from tunery.pipelines.operations import base_source, get_pipeline, start_pipeline
from tunery.pipelines.planning import plan_pipeline
from tunery.pipelines.recipe import load_recipe, parse_recipe
from tunery.pipelines.schemas import PipelineStart
from tunery.pipelines.stages import STAGE_FUNCTIONS, Work
from tunery.pipelines.tables import Pipeline
from tunery.platform.jobs import Job, JobContext

__all__ = ["shelf"]
pytestmark = pytest.mark.parametrize("ground", ["sqlite"], indirect=True)

ROWS = "".join(json.dumps({"prompt": f"What is {n * 7919}?", "completion": f"a{n}"}) + "\n" for n in range(30)).encode()
CARD = b"---\nlicense: cc-by-4.0\n---\n"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub with a dataset."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with hub_server() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        server.add("datasets/org/asked", train__jsonl=ROWS, README__md=CARD)
        yield server


def recipe(**data: Any) -> dict[str, Any]:
    rows = {"source": "hub", "path": "org/asked", **data}
    return {"model": {"name": "made", "base_model": f"org/tiny@{commit_of('org/tiny')}"}, "training_data": rows}


def start(shelf: Shelf, **data: Any) -> Pipeline:
    with shelf.ground.database.session(shelf.actor.tenant_id) as session:
        return start_pipeline(session, shelf.ground, shelf.actor, PipelineStart(recipe=recipe(**data)))


def import_data(shelf: Shelf, row: Pipeline) -> dict[str, Any]:
    lease = new_id()
    with shelf.ground.database.session(shelf.actor.tenant_id) as session:
        job = Job(kind="test", payload={}, status="running", lease_token=lease, created_by=shelf.actor.name)
        session.add(job)
        session.flush()
        row = get_pipeline(session, row.id)
        kept = parse_recipe(row.recipe)
    work = Work(row.id, kept, row.inputs, base_source(kept, row.inputs), {}, may_promote=False)
    return STAGE_FUNCTIONS["import"](JobContext(shelf.ground, job, lease, lambda: False), work)


def test_a_run_keeps_to_the_commit_that_it_began_with(hub: HubServer, shelf: Shelf) -> None:
    repository = hub.repositories["datasets/org/asked"]
    commit = repository.branches["main"]
    before = start(shelf)
    assert before.recipe["training_data"]["revision"] == commit
    later = commit_of("later")
    repository.branches["main"] = later
    repository.commits[later] = {"train.jsonl": ROWS[: ROWS.index(b"\n", 900) + 1]}
    assert start(shelf).id != before.id
    assert start(shelf, revision=commit).id == before.id

    outcome = import_data(shelf, before)
    assert (outcome["name"], sum(outcome["rows"].values())) == ("asked", 30)
    with shelf.ground.database.session(shelf.actor.tenant_id) as session:
        source = resolve_version(session, outcome["version_id"]).provenance["sources"][0]
    assert source["url"] == f"hf://datasets/org/asked@{commit}"
    assert (source["type"], source["license"], source["name"]) == ("hub", "CC-BY-4.0", "asked-train.jsonl")
    assert source["details"] == {"commit": commit, "config": "default", "split": "train", "files": ["train.jsonl"]}


def test_a_dry_run_reads_what_lies_elsewhere_and_offline_what_is_there(
    hub: HubServer, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.repositories["datasets/org/asked"].branches["main"]
    wish = PipelineStart(recipe=recipe(test_split=5, revision=commit))

    def plan() -> str:
        with shelf.ground.database.session(shelf.actor.tenant_id) as session:
            told = plan_pipeline(session, shelf.ground, shelf.actor, wish)
        return next(stage.detail for stage in told.stages if stage.name == "import")

    assert plan() == "22 train, 3 validation, 5 test"  # a tenth of the 30 rows for validation
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = len(hub.asked)
    assert plan() == "22 train, 3 validation, 5 test"
    assert len(hub.asked) == asked


def test_a_version_that_is_here_is_trained_on_as_it_stands(hub: HubServer, shelf: Shelf) -> None:
    first = import_data(shelf, start(shelf, test_split=5))
    assert start(shelf, source="dataset", path="asked").recipe["training_data"]["path"] == "asked:1"
    before = start(shelf, source="dataset", path="asked")
    assert start(shelf, source="dataset", path="asked:1").id == before.id
    import_data(shelf, start(shelf, test_split=6))
    after = start(shelf, source="dataset", path="asked")
    assert after.id != before.id
    assert import_data(shelf, before) == first
    assert import_data(shelf, after)["version"] == 2
    wish = PipelineStart(recipe=recipe(source="dataset", path="asked:1"))
    with shelf.ground.database.session(shelf.actor.tenant_id) as session:
        told = plan_pipeline(session, shelf.ground, shelf.actor, wish)
    assert (told.key, told.stages[0].detail) == (before.key, "22 train, 3 validation, 5 test")


def test_a_version_without_the_rows_that_a_recipe_needs_starts_nothing(hub: HubServer, shelf: Shelf) -> None:
    import_data(shelf, start(shelf, validation_split=0))
    stopping = {"optimization": {"early_stopping": {"enabled": True}}}
    wish = PipelineStart(recipe=recipe(source="dataset", path="asked") | stopping)
    with (
        shelf.ground.database.session(shelf.actor.tenant_id) as session,
        pytest.raises(RecipeInvalid, match="asked:1 has no validation rows.*import its rows with validation_split"),
    ):
        start_pipeline(session, shelf.ground, shelf.actor, wish)
    with pytest.raises(RecipeInvalid, match="sanitise when importing it"):
        parse_recipe(recipe(source="dataset", path="asked") | {"sanitize": [{"step": "deduplicate"}]})
    with pytest.raises(NotFound, match="there is no dataset 'unknown'"):
        start(shelf, source="dataset", path="unknown")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"path": "asked"}, "must be a repository of the Hub"),
        ({"source": "url", "path": "file:///etc/passwd"}, "https or http"),
        ({"source": "url", "path": "https://data.example/rows.jsonl", "split": "train"}, "source: hub"),
        ({"url": "https://data.example"}, "url tells where a file was got from"),
        ({"source": "dataset", "path": "asked", "test_split": 5}, "as it stands .*leave out test_split"),
    ],
)
def test_a_source_that_is_none_is_refused(data: dict[str, Any], words: str, ground: object) -> None:
    with pytest.raises(RecipeInvalid, match=words) as caught:
        parse_recipe(recipe(**data))
    assert [fault["path"] for fault in caught.value.details["faults"]] == ["training_data"]


def test_what_lies_elsewhere_is_no_path_of_this_machine(tmp_path: Path, ground: object) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "model: {name: m, base_model: org/tiny}\n"
        "training_data: {source: url, path: 'https://data.example/My%20Rows.jsonl?raw=1'}\n"
    )
    loaded = load_recipe(path)
    assert loaded.local_paths() == []
    assert loaded.training_data.path == "https://data.example/My%20Rows.jsonl?raw=1"
    assert loaded.training_data.dataset_name == "my-20rows"
    path.write_text("model: {name: m, base_model: org/tiny}\ntraining_data: {source: dataset, path: 'rows:2'}\n")
    assert (load_recipe(path).local_paths(), load_recipe(path).training_data.path) == ([], "rows:2")
