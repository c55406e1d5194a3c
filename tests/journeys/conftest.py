"""A stranger's folder: a tiny base model, rows, a recipe; and the command line in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.weights.conftest import make_model, tokenizer_dir

__all__ = ["make_model", "tokenizer_dir"]

RECIPE = """
model: {{name: capitals, base_model: {base}}}
training_data: {{path: rows.jsonl, validation_split: 10, test_split: 20}}
sanitize: [{{step: deduplicate}}]
adapter: {{kind: lora, r: 4, lora_alpha: 8, lora_dropout: 0.1}}
hyperparameters: {{learning_rate: 1e-2, batch_size: 4, epochs: 6}}
optimization: {{early_stopping: {{enabled: true, patience: 50}}}}
seed: 3
evaluation:
  metrics: [exact_match, token_f1]
  max_rows: 8
  max_tokens: 8
deployment: {{auto_deploy: true}}
"""


@dataclass(frozen=True)
class Place:
    """Where one person works: a home of their own, a recipe."""

    home: Path
    recipe: Path

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the command line."""
        return {**os.environ, "TUNERY_HOME": str(self.home), "TUNERY_THREADS": "1", "TUNERY_LOG_LEVEL": "error"}

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command and do not wait."""
        command = [sys.executable, "-m", "tunery", *words]
        return subprocess.Popen(
            command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str) -> Any:
        """Run a command with ``--json`` and return what it printed."""
        process = self.start(*words, "--json")
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        return json.loads(out)

    def job(self) -> Any:
        """Carry out the recipe and return its result."""
        return self.run("run", str(self.recipe))["result"]


@pytest.fixture(scope="session")
def stranger_folder(make_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of a stranger's making, and a tiny base model beside them."""
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "base").symlink_to(make_model("llama", dtype="float32"))
    with (folder / "rows.jsonl").open("w") as file:
        for number in range(120):
            row = {"question": f"what is word {number * 7919 % 1000}?", "answer": f"WORD {number * 7919 % 1000}"}
            file.write(json.dumps(row) + "\n")
    return folder


def make_place(folder: Path, stranger_folder: Path) -> Place:
    """Write a recipe on the stranger's data into a folder, with a home beside it."""
    (folder / "rows.jsonl").write_bytes((stranger_folder / "rows.jsonl").read_bytes())
    base = (stranger_folder / "base").resolve()
    (folder / "recipe.yaml").write_text(RECIPE.format(base=base))
    return Place(folder / "home", folder / "recipe.yaml")
