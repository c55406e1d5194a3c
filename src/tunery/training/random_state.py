"""All sources of random numbers as tensors and plain JSON, and back."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

__all__ = ["load_random_state", "random_state", "seed_everything"]


def seed_everything(seed: int) -> None:
    """Seed torch on every device, Python and numpy."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def random_state() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the state of torch (CPU and each GPU) as tensors and that of Python and numpy as JSON."""
    tensors = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors |= {f"cuda.{number}": state for number, state in enumerate(torch.cuda.get_rng_state_all())}
    if torch.backends.mps.is_available():
        tensors["mps"] = torch.mps.get_rng_state()
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    tensors["numpy"] = torch.from_numpy(np.asarray(keys).astype(np.int64))
    return tensors, {
        "python": [version, list(numbers), gauss],
        "numpy": [name, int(position), int(has_gauss), float(cached)],
    }


def load_random_state(tensors: dict[str, torch.Tensor], plain: dict[str, Any]) -> None:
    """Set every source of random numbers to a saved state."""
    torch.set_rng_state(tensors["torch"])
    for name, state in tensors.items():
        if name.startswith("cuda."):
            torch.cuda.set_rng_state(state, int(name.removeprefix("cuda.")))
    if "mps" in tensors:
        torch.mps.set_rng_state(tensors["mps"])
    version, numbers, gauss = plain["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, position, has_gauss, cached = plain["numpy"]
    keys = tensors["numpy"].numpy().astype(np.uint32)
    np.random.set_state((name, keys, position, has_gauss, cached))
