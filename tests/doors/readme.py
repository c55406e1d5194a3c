"""Somebody who does what an example's README says, command by command, with a model of two layers."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import mlcroissant
from ruamel.yaml import YAML

from tunery.errors import EXIT_CODES

__all__ = ["Reader", "Tunery", "make_small", "script"]

EXAMPLES = Path(__file__).parents[2] / "examples"
SECTION = "## From raw rows to an erased person, and back\n"
Tunery = Callable[..., tuple[int, Any, str]]


def script(example: str, name: str) -> ModuleType:
    """Return a script of an example as a module."""
    spec = spec_from_file_location(name, EXAMPLES / example / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_small(example: str, folder: Path, base: Path, **sections: dict[str, Any]) -> None:
    """Write an example's recipe into a folder, for one epoch of a small base that a parrot answers for."""
    yaml = YAML()
    recipe = yaml.load((EXAMPLES / example / "recipe.yaml").read_text(encoding="utf-8"))
    recipe["model"]["base_model"] = str(base)
    recipe["adapter"] = {"kind": "lora", "r": 2, "target_modules": ["q_proj"]}
    recipe["hyperparameters"] = {"max_length": 256, "too_long": "drop", "batch_size": 32, "epochs": 1}
    recipe["evaluation"] |= {"max_rows": 2, "engine": "parrot"}
    for name, section in sections.items():
        recipe[name] = {**recipe.get(name, {}), **section}
    with (folder / "recipe.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(recipe, file)


class Reader:
    """Reads one section of the README.

    Attributes:
        said: What stands for a word of the README, such as the id that its reader has to put in.
    """

    def __init__(self, tunery: Tunery, example: str, folder: Path) -> None:
        text = (EXAMPLES / example / "README.md").read_text(encoding="utf-8")
        self._blocks = iter(text.split(SECTION)[1].split("\n## ")[0].split("```")[1::2])
        self._tunery, self._folder, self._path = tunery, folder, f"examples/{example}"
        self.said: dict[str, str] = {}

    def block(self) -> Iterator[tuple[str, Any]]:
        """Yield each command of the next block with what it printed, or with the error of one that is to be refused."""
        for line in next(self._blocks).replace("\\\n", " ").strip().splitlines():
            command, _, remark = line.partition("#")
            first, *words = [self._meant(word) for word in shlex.split(command)]
            if first == "mlcroissant":  # `validate --jsonld FILE` does this and prints that it is done
                mlcroissant.Dataset(words[-1])
            elif first == "tunery":
                more = ["--confirm"] if words[:2] == ["subjects", "erase"] else []
                code, found, error = self._tunery(*words, *more)
                assert code == (EXIT_CODES["refused"] if "refused" in remark else 0), f"{line}: {error}"
                yield words[0] if words[0] == "run" else " ".join(words[:2]), found if code == 0 else error

    def _meant(self, word: str) -> str:
        for text, meaning in {self._path: str(self._folder), **self.said}.items():
            word = word.replace(text, meaning)
        return word
