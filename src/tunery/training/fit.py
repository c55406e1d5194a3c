"""The child's entry points: train as ordered, or estimate what it would take."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tunery.errors import InvalidInput
from tunery.kit.extras import require
from tunery.kit.faults import fault_line, faults_of
from tunery.training.devices import prepare_memory
from tunery.training.run_lock import run_lock
from tunery.training.schemas import TrainSpec

__all__ = ["estimate", "fit"]


def fit(order: dict[str, Any], emit: Callable[[dict[str, Any]], None], cancelled: Callable[[], bool]) -> dict[str, Any]:
    """Train as the order (a ``TrainSpec``) says, or go on where an earlier child was stopped.

    Events: ``progress`` after each step, ``evaluated``, ``checkpoint``, ``note``. Steps since the last checkpoint are
    reported again after a resume, with the same values.

    Raises:
        Cancelled: ``cancelled`` said so; a checkpoint was written.
        InvalidInput: rows that cannot be used, all at once; or training diverged.
        Conflict: another process holds the run's folder, or it belongs to another run.
    """
    spec = _read(order)
    _prepare()
    with run_lock(Path(spec.work_dir)):
        from tunery.training.trainer import train

        result: dict[str, Any] = train(spec, emit, cancelled)
        return result


def estimate(
    order: dict[str, Any], emit: Callable[[dict[str, Any]], None], cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """Say what the order (a ``TrainSpec``) would take, without training; see ``tunery.training.estimate``."""
    spec = _read(order)
    _prepare()
    from tunery.training.estimate import estimate_run

    return estimate_run(spec).model_dump(mode="json")


def _read(order: dict[str, Any]) -> TrainSpec:
    try:
        return TrainSpec.model_validate(order)
    except ValidationError as faults:
        found = faults_of(faults.errors(), TrainSpec, order)
        raise InvalidInput(
            f"the training order has faults: {'; '.join(map(fault_line, found))}", faults=found
        ) from faults


def _prepare() -> None:
    """Set what must stand before torch is loaded."""
    prepare_memory()
    # Torch's threads spin for milliseconds at each barrier by default, and whoever else needs a core waits for them, as
    # they for him: beside other work a step then takes five to ten times as long.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # Without a fixed workspace cuBLAS may add in another order. Source: CUDA, cuBLAS, "Results reproducibility".
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    torch = require("torch", "train")
    torch.use_deterministic_algorithms(True, warn_only=True)
