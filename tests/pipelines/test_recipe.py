"""The recipe: read as YAML 1.2, checked completely, every fault at once with its path and the nearest name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tunery.errors import RecipeInvalid
from tunery.pipelines.recipe import check_splits, load_recipe, parse_recipe

R5_TEMPLATE = """
# Example: fine_tune_template.yaml
model:
  name: "custom_model_v1"
  base_model: "microsoft/DialoGPT-medium"
  model_type: "fine_tuned"

training_data:
  source: "file"
  path: "data.jsonl"
  format: "jsonl"
  validation_split: 0.1

hyperparameters:
  learning_rate: 5e-5
  batch_size: 8
  epochs: 3
  warmup_steps: 100
  weight_decay: 0.01

optimization:
  optimizer: "adamw"
  scheduler: "linear"
  early_stopping:
    enabled: true
    patience: 2
    metric: "validation_loss"

evaluation:
  metrics: ["accuracy", "f1_score", "perplexity"]
  save_best_model: true

deployment:
  auto_deploy: false
  deployment_target: "local"
  health_check_enabled: true
"""


def _write(folder: Path, text: str) -> Path:
    (folder / "data.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


def _faults(folder: Path, text: str) -> dict[str, dict[str, str]]:
    with pytest.raises(RecipeInvalid) as caught:
        load_recipe(_write(folder, text))
    return {fault["path"]: fault for fault in caught.value.details["faults"]}


def test_the_template_of_the_requirements_is_valid_as_it_stands(tmp_path: Path) -> None:
    recipe = load_recipe(_write(tmp_path, R5_TEMPLATE))
    assert recipe.hyperparameters.learning_rate == 5e-5
    assert recipe.optimization.early_stopping.enabled
    assert recipe.evaluation.metrics == ["accuracy", "f1_score", "perplexity"]
    assert recipe.method == "sft"
    assert recipe.plain()["schema"] == 1


def test_a_recipe_survives_being_plain_data(tmp_path: Path) -> None:
    recipe = load_recipe(_write(tmp_path, R5_TEMPLATE))
    assert parse_recipe(recipe.plain()) == recipe


def test_every_fault_is_named_at_once_with_its_path_and_the_nearest_name(tmp_path: Path) -> None:
    text = (
        R5_TEMPLATE.replace("learning_rate: 5e-5", "learning_rat: 5e-5")
        .replace("epochs: 3", "epochs: three")
        .replace('"f1_score"', '"f1_scor"')
        .replace('path: "data.jsonl"', 'path: "dta.jsonl"')
        .replace('name: "custom_model_v1"', 'name: "Custom Model"')
        + "\nsed: 1\n"
    )
    faults = _faults(tmp_path, text)
    assert faults["hyperparameters.learning_rat"]["hint"] == "did you mean 'learning_rate'?"
    assert "three" in faults["hyperparameters.epochs"]["message"]
    assert "did you mean 'f1_score'?" in faults["evaluation.metrics.1"]["message"]
    assert faults["training_data.path"]["hint"] == "did you mean 'data.jsonl'?"
    assert "custom-model" in faults["model.name"]["message"]
    assert faults["sed"]["hint"] == "did you mean 'seed'?"
    assert len(faults) == 6


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("model: [", "line 1", ""),
        ("a: 1\na: 2\n", "line 2", "duplicate key"),
        ("a: &x 1\nb: *x\n", "line 2", "aliases"),
        ("a: !!python/object/apply:os.system ['true']\n", "line 1", "tags"),
        ("- just a list\n", "line 1", "mapping"),
        ("[" * 5000, "line 1", ""),
        ("a: " + "[" * 40 + "]" * 40, "line 1", "deeply"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_with_its_line(tmp_path: Path, text: str, line: str, words: str) -> None:
    (where, fault), *_ = _faults(tmp_path, text).items()
    assert where.startswith(line)
    assert words in fault["message"]


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeInvalid, match=r"nothing\.yaml cannot be read"):
        load_recipe(tmp_path / "nothing.yaml")


def test_paths_count_from_the_folder_of_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(tmp_path, R5_TEMPLATE)
    monkeypatch.chdir("/")
    assert load_recipe(path).local_paths() == [str(tmp_path / "data.jsonl")]


def test_splits_that_the_file_says_are_looked_for_when_it_was_read() -> None:
    data = {"model": {"name": "m", "base_model": "b"}, "training_data": {"path": "x", "split_column": "part"}}
    recipe = parse_recipe(data | {"optimization": {"early_stopping": {"enabled": True}}})
    check_splits(recipe, "rows:1", {"train": 3, "validation": 1, "test": 1})
    for lacking in ("test", "validation"):
        rows = {"train": 3, "validation": 1, "test": 1} | {lacking: 0}
        with pytest.raises(RecipeInvalid, match=f"rows:1 has no {lacking} rows.* a split_column that names some"):
            check_splits(recipe, "rows:1", rows)


@pytest.mark.parametrize(
    ("section", "path", "words"),
    [
        ({"adapter": {"kind": "lora", "rank": 4}}, "adapter.rank", "no such key"),
        ({"adapter": "lore"}, "adapter", "lora"),
        ({"method": "sff"}, "method", "sft"),
        ({"sanitize": [{"step": "strip_key", "keys": ["a"]}]}, "sanitize.0.step", "did you mean 'strip_keys'?"),
        ({"sanitize": [{"keys": ["a"]}]}, "sanitize.0.step", "is missing"),
        ({"sanitize": ["near_deduplicate"]}, "sanitize.0", "write step: near_deduplicate"),
        ({"sanitize": [{"step": "redact_pii", "actoins": {}}]}, "sanitize.0.actoins", "did you mean 'actions'?"),
        ({"seed": "1e3"}, "seed", "must be a whole number, not '1e3'"),
        ({"training_data": {"path": ""}}, "training_data.path", "must not be empty"),
        ({"training_data": {"path": "x", "license": "MITT"}}, "training_data.license", "SPDX knows no licence 'MITT'"),
        ({"gate": {"criteria": [{"metric": "token_f1", "threshold": 0.5}]}}, "gate.criteria.0.metric", "not measured"),
        ({"training_data": {"path": "x", "test_split": 0}}, "training_data.test_split", "above 0"),
    ],
)
def test_each_room_names_the_faults_of_its_own_section(section: dict[str, Any], path: str, words: str) -> None:
    data = {"model": {"name": "m", "base_model": "b"}, "training_data": {"path": "x"}} | section
    with pytest.raises(RecipeInvalid) as caught:
        parse_recipe(data)
    faults = {fault["path"]: fault for fault in caught.value.details["faults"]}
    assert list(faults) == [path]
    assert words in faults[path]["message"] + faults[path].get("hint", "")
    assert not re.search("[Ii]nput|Value error|Extra|Field", caught.value.message)
