"""Tiny models, and one engine of each kind that serves them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.weights.conftest import MakeAdapter, make_adapter, make_model, tiny_llama, tokenizer_dir
from tunery.inference.ports import ENGINES, AdapterSpec, EngineSpec, RunningEngine

__all__ = ["make_adapter", "make_model", "tiny_llama", "tokenizer_dir"]


@pytest.fixture(scope="package")
def spec(tiny_llama: Path, make_adapter: MakeAdapter, tmp_path_factory: pytest.TempPathFactory) -> EngineSpec:
    """The tiny model with one adapter, ``a``."""
    folder = tmp_path_factory.mktemp("inference")
    adapter = AdapterSpec("a", make_adapter(tiny_llama), "1" * 64)
    return EngineSpec(tiny_llama, "0" * 64, folder / "cache", folder / "work", (adapter,), 256, slots=2, threads=1)


@pytest.fixture(scope="package")
def llama_cpp(spec: EngineSpec) -> Iterator[RunningEngine]:
    """The llama.cpp engine, running."""
    with ENGINES.get("llama.cpp").start(spec) as running:
        yield running


@pytest.fixture(scope="package")
def transformers(spec: EngineSpec) -> Iterator[RunningEngine]:
    """The transformers engine, running."""
    with ENGINES.get("transformers").start(spec) as running:
        yield running
