"""Metrics whose score is the mean of a number per row: most are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunery.errors import InvalidInput
from tunery.evaluation.ports import Answer, Direction, Measurement, Need, check_answers

if TYPE_CHECKING:
    from tunery.evaluation.ports import FloatArray

__all__ = ["RowMean"]


@dataclass(frozen=True)
class RowMean:
    """A metric that compares each prediction with its reference and averages.

    Attributes:
        name: The name recipes and gates use.
        direction: Which way is better, or None.
        compare: ``compare(prediction, reference)`` gives the row's number.
        binary: The number is always 0 or 1.
    """

    name: str
    direction: Direction | None
    compare: Callable[[str, str], float]
    binary: bool = False
    needs: Need = "text"

    def measure(self, answers: Sequence[Answer]) -> Measurement:
        """Measure the answers. Raises: InvalidInput: there are none, or a reference does not fit (names its place)."""
        import numpy as np

        check_answers(self.name, answers)
        values = np.empty(len(answers))
        for place, answer in enumerate(answers):
            try:
                values[place] = self.compare(answer.prediction, answer.reference)
            except InvalidInput as fault:
                raise InvalidInput(f"{self.name}, row {place + 1} of {len(answers)}: {fault.message}") from fault

        def mean(weights: FloatArray) -> FloatArray:
            means: FloatArray = (weights @ values) / weights.sum(axis=1)
            return means

        return Measurement(values, mean)
