"""How fast a run goes, and how long it will still take."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Throughput"]


@dataclass
class Throughput:
    """Adds up over all parts of a run that was stopped and resumed.

    Attributes:
        steps: Finished steps.
        tokens: Tokens of their rows; padding does not count.
        step_seconds: Spent in steps.
        seconds: Spent in all: steps, validation, checkpoints.
        peak_memory_bytes: The most memory in use.
    """

    steps: int = 0
    tokens: int = 0
    step_seconds: float = 0.0
    seconds: float = 0.0
    peak_memory_bytes: int = 0

    def add_step(self, tokens: int, seconds: float) -> None:
        """Note a finished step."""
        self.steps += 1
        self.tokens += tokens
        self.step_seconds += seconds

    @property
    def tokens_per_second(self) -> float:
        """Tokens a second in steps."""
        return self.tokens / self.step_seconds if self.step_seconds else 0.0

    def remaining_seconds(self, total_steps: int) -> float:
        """Return the time that the steps to come will take, at the mean of those behind."""
        spent = max(self.seconds, self.step_seconds)
        return (total_steps - self.steps) * spent / self.steps if self.steps else 0.0

    def state(self) -> dict[str, Any]:
        """Return everything as plain JSON; ``Throughput(**state)`` goes on from it."""
        return asdict(self)
