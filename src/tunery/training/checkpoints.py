"""Checkpoints from which a run goes on exactly as if it had never stopped.

    <work_dir>/checkpoints/step-00000040/   weights, optimizer and random state as safetensors, the rest as JSON
                                complete.json   digests of the others, written last
    <work_dir>/best/step-00000030/          weights of the best validation loss so far

A checkpoint is written beside its place, synced, and renamed: it is there whole or not at all. One whose bytes do not
match ``complete.json`` is never chosen. There is no pickle in it, so that a stranger's checkpoint cannot run code.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from tunery.errors import Exhausted
from tunery.kit.durable import sync_folder
from tunery.weights.files import write_json
from tunery.weights.safetensors import write_safetensors

__all__ = ["Checkpoint", "Checkpoints", "new_folder"]

_KEPT = 2
_MARKER = "complete.json"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found whole."""

    path: Path
    step: int

    def state(self) -> dict[str, Any]:
        """Return the JSON part."""
        found: dict[str, Any] = json.loads((self.path / "state.json").read_text(encoding="utf-8"))
        return found

    def tensors(self, name: str) -> dict[str, Any]:
        """Return the tensors of ``weights``, ``optimizer`` or ``random`` by name, on the CPU."""
        from safetensors.torch import load_file

        loaded: dict[str, Any] = load_file(self.path / f"{name}.safetensors")
        return loaded


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, work_dir: Path) -> None:
        self._folder = work_dir / "checkpoints"
        self._best = work_dir / "best"

    def latest(self) -> Checkpoint | None:
        """Return the newest checkpoint whose bytes are whole; clear away what a crash left of others."""
        for folder in (self._folder, self._best):
            for left in folder.glob(".*"):
                shutil.rmtree(left)
        for path in sorted(self._folder.glob("step-*"), reverse=True):
            found = Checkpoint(path, _step(path))
            if _is_whole(path) and self._has_best(found):
                return found
            shutil.rmtree(path)
        return None

    def _has_best(self, checkpoint: Checkpoint) -> bool:
        step = checkpoint.state()["best_weights_step"]
        return step is None or _is_whole(self._best / f"step-{step:08d}")

    def save(self, step: int, state: Mapping[str, Any], tensors: Mapping[str, Mapping[str, Any]]) -> Path:
        """Write a checkpoint durably and keep the last two. Raises: Exhausted: the disk is full; older ones stand."""
        path = self._folder / f"step-{step:08d}"
        with new_folder(path) as stage:
            for name, group in tensors.items():
                write_safetensors(stage / f"{name}.safetensors", group)
            write_json(stage / "state.json", dict(state))
            write_json(stage / _MARKER, {"schema": 1, "digests": {"blake3": _digests(stage)}})
        for old in sorted(self._folder.glob("step-*"))[:-_KEPT]:
            shutil.rmtree(old)
        self._prune_best()
        return path

    def save_best(self, step: int, weights: Mapping[str, Any]) -> None:
        """Keep the weights of the best step so far; older ones go when no checkpoint needs them any more."""
        with new_folder(self._best / f"step-{step:08d}") as stage:
            write_safetensors(stage / "weights.safetensors", weights)
            write_json(stage / _MARKER, {"schema": 1, "digests": {"blake3": _digests(stage)}})

    def best(self, step: int) -> dict[str, Any]:
        """Return the weights kept for the best step."""
        return Checkpoint(self._best / f"step-{step:08d}", step).tensors("weights")

    def clear(self) -> None:
        """Delete all; the run is finished and its files lie elsewhere."""
        for folder in (self._folder, self._best):
            shutil.rmtree(folder, ignore_errors=True)

    def _prune_best(self) -> None:
        needed = {Checkpoint(path, _step(path)).state()["best_weights_step"] for path in self._folder.glob("step-*")}
        for path in self._best.glob("step-*"):
            if _step(path) not in needed:
                shutil.rmtree(path)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a folder to fill; when the block ends well it stands under ``path``, durable, in place of what was there.

    Raises: Exhausted: the disk is full; what was there still stands.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stage, old = (path.with_name(f".{path.name}.{mark}") for mark in ("new", "old"))
    for left in (stage, old):
        shutil.rmtree(left, ignore_errors=True)
    stage.mkdir()
    try:
        yield stage
        sync_folder(stage)
        if path.exists():
            path.rename(old)
        stage.rename(path)
        sync_folder(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as fault:
        if fault.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Exhausted(f"the disk is full, {path.name} could not be written; free space and repeat") from fault
        raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.name: blake3(max_threads=1).update_mmap(path).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != _MARKER
    }


def _is_whole(path: Path) -> bool:
    try:
        marker = json.loads((path / _MARKER).read_text(encoding="utf-8"))
        return bool(marker["digests"]["blake3"] == _digests(path))
    except (OSError, ValueError, KeyError, TypeError):
        return False
