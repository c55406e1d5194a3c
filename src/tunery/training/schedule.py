"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math
from typing import Literal

__all__ = ["learning_rate_at"]


def learning_rate_at(
    step: int, total_steps: int, peak: float, warmup_steps: int, scheduler: Literal["linear", "cosine", "constant"]
) -> float:
    """Return the learning rate of a step, counted from 1.

    It rises evenly over the warm-up, whose last step has ``peak``, and then falls to just above 0 in the last step
    (``linear``, ``cosine``) or stays (``constant``).
    Source: Loshchilov and Hutter, "SGDR" (2017), arXiv 1608.03983, equation 5 without restarts, for ``cosine``.
    """
    if step <= warmup_steps:
        return peak * step / warmup_steps
    if scheduler == "constant":
        return peak
    done = (step - 1 - warmup_steps) / max(1, total_steps - warmup_steps)
    return peak * (1 - done) if scheduler == "linear" else peak * (1 + math.cos(math.pi * done)) / 2
