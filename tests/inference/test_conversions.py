"""Converted weights: made once, proven, never used torn or changed."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.weights.conftest import MakeModel
from tunery.errors import EngineFailed
from tunery.inference.conversions import converted
from tunery.inference.ports import EngineSpec


@pytest.fixture
def fresh(spec: EngineSpec, tmp_path: Path) -> EngineSpec:
    """A spec of which nothing is converted yet."""
    return replace(spec, cache_dir=tmp_path / "cache", work_dir=tmp_path)


@pytest.fixture
def made(spec: EngineSpec, fresh: EngineSpec) -> EngineSpec:
    """A spec whose files are there."""
    convert(replace(spec, work_dir=fresh.work_dir))
    shutil.copytree(spec.cache_dir, fresh.cache_dir)
    return fresh


def convert(spec: EngineSpec, seconds: float = 120) -> list[Path]:
    model, adapters = converted(spec, spec.work_dir / "convert.log", time.monotonic() + seconds)
    return [model, *adapters]


def test_files_are_made_once_and_keep_their_proof_beside_them(made: EngineSpec) -> None:
    paths = convert(made)
    assert [path.parent for path in paths] == [made.cache_dir / "gguf"] * 2
    for path in paths:
        proof = json.loads(path.with_suffix(".parity.json").read_text())
        assert proof["parity"]["max_difference"] < 0.15
        assert proof["parity"]["positions"] >= 8
    made_at = [path.stat().st_mtime_ns for path in paths]
    assert convert(made) == paths
    assert [path.stat().st_mtime_ns for path in paths] == made_at


def test_a_file_with_a_flipped_bit_or_without_its_end_is_made_anew(made: EngineSpec) -> None:
    model, adapter = convert(made)
    right = model.read_bytes(), adapter.read_bytes()
    with model.open("r+b") as file:
        file.seek(len(right[0]) // 2)
        file.write(bytes([right[0][len(right[0]) // 2] ^ 1]))
    with adapter.open("r+b") as file:
        file.truncate(len(right[1]) - 100)
    convert(made)
    assert (model.read_bytes(), adapter.read_bytes()) == right


def test_a_file_without_its_proof_is_not_used(made: EngineSpec) -> None:
    model, _ = convert(made)
    model.with_suffix(".parity.json").unlink()
    convert(made)
    assert model.with_suffix(".parity.json").is_file()


def test_a_folder_that_has_no_faithful_gguf_form_is_an_engine_failure_that_says_why(
    fresh: EngineSpec, make_model: MakeModel
) -> None:
    odd = replace(fresh, model_dir=make_model("llama", hidden_act="gelu"), model_digest="e" * 64, adapters=())
    with pytest.raises(EngineFailed, match=r"hidden_act.*'gelu'.*convert\.log"):
        convert(odd)
    assert not list((fresh.cache_dir / "gguf").glob("*.gguf"))


def test_a_conversion_that_takes_too_long_is_ended_and_can_be_taken_up_again(fresh: EngineSpec) -> None:
    with pytest.raises(EngineFailed, match="took too long"):
        convert(fresh, seconds=0)
    assert all(path.is_file() for path in convert(fresh))
