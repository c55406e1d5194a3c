"""When to stop before the last epoch, and which weights were best."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["EarlyStopper"]


@dataclass
class EarlyStopper:
    """Follows the validation loss.

    Attributes:
        patience: Evaluations without a better value after which to stop; None never stops.
        best: The lowest value so far, or None.
        best_step: The step after which it was measured; 0 before the first measurement.
        waited: Evaluations since then.
    """

    patience: int | None
    best: float | None = None
    best_step: int = 0
    waited: int = 0

    def observe(self, value: float, step: int) -> bool:
        """Note a measurement and tell whether it is the best so far. NaN is never the best."""
        if value == value and (self.best is None or value < self.best):
            self.best, self.best_step, self.waited = value, step, 0
            return True
        self.waited += 1
        return False

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self.patience is not None and self.waited >= self.patience

    def state(self) -> dict[str, Any]:
        """Return everything as plain JSON; ``EarlyStopper(**state)`` goes on from it."""
        return asdict(self)
