"""The recipe: one file that says everything. Each room owns the schema of its own sections."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tunery.datasets.schemas import SanitizeSection, TrainingData
from tunery.errors import InvalidInput, RecipeInvalid
from tunery.evaluation.schemas import EvaluationSection
from tunery.kit.faults import fault_line, faults_of
from tunery.kit.references import check_name
from tunery.pipelines.yaml_text import parse_yaml
from tunery.promotion.schemas import GateSection
from tunery.serving.schemas import DeploymentSection
from tunery.training.schemas import TrainingSection

__all__ = ["ModelSection", "Recipe", "check_splits", "load_recipe", "parse_recipe"]


class ModelSection(BaseModel):
    """The recipe's section ``model``: what is made, and from what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="Name of the model: lower-case letters, digits, `.`, `_`, `-`.")
    base_model: str = Field(
        min_length=1,
        max_length=300,
        description="What is fine-tuned: `package:NAME` (a GGUF in an installed Python package), a folder "
        "(`./my-model`), a Hub id (`org/name`), or a registered version (`name:1.0.0`).",
    )
    model_type: Literal["fine_tuned"] = Field("fine_tuned", description="Kind of model that comes out.")
    description: str = Field("", max_length=10_000, description="What the model is for.")
    tags: list[str] = Field(default_factory=list, max_length=100, description="Words to find it by.")
    license: str | None = Field(None, max_length=100, description="SPDX id; none: the base model's.")
    version: str | None = Field(None, description="MAJOR.MINOR.PATCH; none: the next one.")

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        try:
            return check_name(name)
        except InvalidInput as error:
            raise ValueError(error.message) from error

    @property
    def base_is_local(self) -> bool:
        """Whether the base model is a folder of the one who wrote the recipe."""
        return self.base_model.startswith(("./", "../", "/", "~/"))


class Recipe(TrainingSection):
    """A whole recipe, checked. ``docs/reference/recipe.md`` lists every key."""

    schema_: Literal[1] = Field(1, alias="schema", description="Version of the recipe's own form.")
    model: ModelSection = Field(description="What is made, and from what.")
    training_data: TrainingData = Field(description="The rows.")
    sanitize: SanitizeSection = Field(default_factory=list, description="Sanitising steps, in order.")
    evaluation: EvaluationSection = Field(default_factory=EvaluationSection, description="What is measured.")
    gate: GateSection | None = Field(None, description="What the tuned model must show.")
    deployment: DeploymentSection = Field(default_factory=DeploymentSection, description="Where it is served.")

    def plain(self) -> dict[str, Any]:
        """Return the recipe as plain JSON, defaults filled in."""
        return self.model_dump(mode="json", by_alias=True)

    def local_paths(self) -> list[str]:
        """Return the paths that the recipe names on the machine of the one who wrote it."""
        rows = [self.training_data.path] if self.training_data.source == "file" else []
        return rows + ([self.model.base_model] if self.model.base_is_local else [])


def load_recipe(path: Path) -> Recipe:
    """Read a recipe file; paths in it count from its folder.

    Raises:
        RecipeInvalid: Every fault at once, each with its path in the file and the nearest valid name.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise RecipeInvalid(
            f"{path} cannot be read: {reason}", faults=[{"path": str(path), "message": reason}]
        ) from None
    data = parse_yaml(text)
    _anchor(data, path.parent)
    faults = [
        fault
        for section, key in (("training_data", "path"), ("model", "base_model"))
        for fault in _missing(data, section, key)
    ]
    return _check(data, faults)


def parse_recipe(data: dict[str, Any]) -> Recipe:
    """Check a recipe given as plain data. Raises: RecipeInvalid: every fault at once."""
    return _check(data, [])


def _check(data: dict[str, Any], faults: list[dict[str, str]]) -> Recipe:
    recipe = None
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError as error:
        faults = faults_of(error.errors(), Recipe, data) + faults
    if recipe is not None:
        faults = _contradictions(recipe) + faults
    if faults or recipe is None:
        text = "; ".join(map(fault_line, faults))
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise RecipeInvalid(f"the recipe has {count}; nothing was started: {text}", faults=faults)
    return recipe


def check_splits(recipe: Recipe, reference: str, rows: Mapping[str, int]) -> None:
    """Raise RecipeInvalid if a dataset version with so many rows in each split lacks some that the recipe needs."""
    needed = {"test": "base and tuned model are measured on them"}
    if recipe.optimization.early_stopping.enabled:
        needed["validation"] = "optimization.early_stopping needs them"
    for split, why in needed.items():
        if not rows.get(split):
            how = f"import its rows with {split}_split, or with a split_column that names some"
            message = f"{reference} has no {split} rows, and {why}; {how}"
            raise RecipeInvalid(message, faults=[{"path": "training_data", "message": message}])


def _contradictions(recipe: Recipe) -> list[dict[str, str]]:
    faults = []
    imported = recipe.training_data.source != "dataset"
    dealt = imported and recipe.training_data.split_column is None
    if recipe.sanitize and not imported:
        faults.append(
            {"path": "sanitize", "message": "a version of a dataset is taken as it stands; sanitise when importing it"}
        )
    if dealt and recipe.optimization.early_stopping.enabled and not recipe.training_data.validation_split:
        faults.append(
            {
                "path": "optimization.early_stopping.enabled",
                "message": "needs validation rows: set training_data.validation_split",
            }
        )
    if dealt and not recipe.training_data.test_split:
        faults.append(
            {
                "path": "training_data.test_split",
                "message": "must be above 0: base and tuned model are measured on held-out rows",
            }
        )
    for number, criterion in enumerate(recipe.gate.criteria if recipe.gate else []):
        if criterion.metric not in recipe.evaluation.metrics:
            faults.append(
                {
                    "path": f"gate.criteria.{number}.metric",
                    "message": f"{criterion.metric} is not measured; add it to evaluation.metrics",
                }
            )
    return faults


def _anchor(data: dict[str, Any], folder: Path) -> None:
    """Make the local paths of a recipe absolute, counted from its folder."""
    rows = data.get("training_data")
    from_file = isinstance(rows, dict) and rows.get("source", "file") == "file"
    if isinstance(rows, dict) and from_file and isinstance(rows.get("path"), str) and rows["path"]:
        rows["path"] = str((folder / Path(rows["path"]).expanduser()).resolve())
    model = data.get("model")
    base = model.get("base_model") if isinstance(model, dict) else None
    if isinstance(base, str) and base.startswith(("./", "../", "/", "~/")):
        data["model"]["base_model"] = str((folder / Path(base).expanduser()).resolve())


def _missing(data: dict[str, Any], section: str, key: str) -> list[dict[str, str]]:
    part = data.get(section)
    value = part.get(key) if isinstance(part, dict) else None
    if not isinstance(value, str) or not value.startswith("/") or Path(value).exists():
        return []
    siblings = [p.name for p in Path(value).parent.iterdir()] if Path(value).parent.is_dir() else []
    near = difflib.get_close_matches(Path(value).name, siblings, n=1)
    fault = {"path": f"{section}.{key}", "message": f"there is no {value}"}
    return [fault | ({"hint": f"did you mean {near[0]!r}?"} if near else {})]
