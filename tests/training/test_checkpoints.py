from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tunery.training.checkpoints import Checkpoints
from tunery.training.random_state import load_random_state, random_state, seed_everything


def save(checkpoints: Checkpoints, step: int, best: int | None = None) -> Path:
    state: dict[str, Any] = {"best_weights_step": best, "step": step}
    return checkpoints.save(step, state, {"weights": {"w": torch.full((3,), float(step))}})


def test_the_newest_checkpoint_is_found_and_only_the_last_two_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest() is None
    for step in (5, 10, 15):
        save(checkpoints, step)
    found = checkpoints.latest()
    assert found is not None
    assert found.step == found.state()["step"] == 15
    assert found.tensors("weights")["w"].tolist() == [15.0] * 3
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-00000010", "step-00000015"]


@pytest.mark.parametrize("damage", ["bit", "cut", "missing", "unmarked"])
def test_a_damaged_checkpoint_is_never_chosen(tmp_path: Path, damage: str) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 5)
    newest = save(checkpoints, 10)
    weights = newest / "weights.safetensors"
    data = weights.read_bytes()
    if damage == "bit":
        weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "cut":
        weights.write_bytes(data[:-4])
    elif damage == "missing":
        weights.unlink()
    else:
        (newest / "complete.json").unlink()
    found = checkpoints.latest()
    assert found is not None
    assert found.step == 5


def test_what_a_crash_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 5)
    torn = tmp_path / "checkpoints" / ".step-00000010.new"
    torn.mkdir()
    (torn / "weights.safetensors").write_bytes(b"half")
    found = checkpoints.latest()
    assert found is not None
    assert found.step == 5
    assert not torn.exists()


def test_the_best_weights_stay_as_long_as_a_checkpoint_needs_them(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_best(5, {"w": torch.tensor([5.0])})
    save(checkpoints, 5, best=5)
    checkpoints.save_best(10, {"w": torch.tensor([10.0])})
    save(checkpoints, 10, best=10)
    assert checkpoints.best(5)["w"].item() == 5.0
    save(checkpoints, 15, best=10)
    assert checkpoints.best(10)["w"].item() == 10.0
    assert [path.name for path in (tmp_path / "best").iterdir()] == ["step-00000010"]


def test_a_checkpoint_without_the_best_weights_it_needs_is_not_chosen(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 5)
    checkpoints.save_best(10, {"w": torch.tensor([10.0])})
    save(checkpoints, 10, best=10)
    (tmp_path / "best" / "step-00000010" / "weights.safetensors").write_bytes(b"")
    found = checkpoints.latest()
    assert found is not None
    assert found.step == 5


def test_no_file_of_a_checkpoint_can_run_code(tmp_path: Path) -> None:
    path = save(Checkpoints(tmp_path), 5)
    assert {file.suffix for file in path.iterdir()} == {".safetensors", ".json"}


def test_every_source_of_random_numbers_goes_on_where_it_was() -> None:
    seed_everything(3)
    random.gauss(0, 1)
    np.random.standard_normal()
    tensors, plain = random_state()

    def drawn() -> list[float]:
        return [random.random(), random.gauss(0, 1), float(np.random.standard_normal()), float(torch.rand(()))]

    expected = drawn()
    seed_everything(4)
    load_random_state(tensors, plain)
    assert drawn() == expected
