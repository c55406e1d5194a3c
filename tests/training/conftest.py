"""Folders and orders that several tests of training use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.training.tiny import make_model, write_rows


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture
def order(tiny_model: Path, tmp_path: Path) -> dict[str, Any]:
    """48 rows, batches of 8: six steps an epoch, three epochs, with 16 rows to validate on."""
    return {
        "model_dir": str(tiny_model),
        "base_name": "tiny:1.0.0",
        "train_path": str(write_rows(tmp_path / "train.jsonl", 48)),
        "validation_path": str(write_rows(tmp_path / "validation.jsonl", 16, seed=1)),
        "work_dir": str(tmp_path / "work"),
        "output_dir": str(tmp_path / "output"),
        "device": "cpu",
        "dtype": "float32",
        "threads": 1,
        "adapter": {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1},
        "hyperparameters": {"learning_rate": 2e-2, "batch_size": 8, "epochs": 3},
    }
