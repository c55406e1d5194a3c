"""What a metric is: the port that every plug-in in ``metrics/`` fills."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from tunery.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]

__all__ = ["Answer", "Direction", "Measurement", "Metric", "Need", "check_answers"]

Direction: TypeAlias = Literal["higher", "lower"]
"""Which way is better."""

Need: TypeAlias = Literal["text", "logprobs"]
"""What a metric reads of an answer: its text beside the reference, or the reference's token log-probabilities."""


@dataclass(frozen=True)
class Answer:
    """What a model made of one row.

    Attributes:
        prediction: The text that the model generated; empty where only log-probabilities were asked for.
        reference: The text that the row holds as right.
        logprobs: Natural log-probability that the model gave to each token of the reference, in order.
    """

    prediction: str
    reference: str
    logprobs: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Measurement:
    """A metric applied to rows.

    Attributes:
        values: float64 [rows], what each row shows beside its prediction.
        aggregate: Scores many weighted samples of these rows at once: float64 [samples, rows], how often each row
            stands in each sample, to float64 [samples]. It must be a plain function of the weighted rows, so that
            resampling (bootstrap, jackknife, permutation) is right for means and for pooled measures alike.
    """

    values: FloatArray
    aggregate: Callable[[FloatArray], FloatArray]

    @property
    def score(self) -> float:
        """The score over all rows, each counted once. Raises: InvalidInput: it is no finite number."""
        import numpy as np

        score = float(self.aggregate(np.ones((1, len(self.values))))[0])
        if not np.isfinite(score):
            raise InvalidInput(f"the score over {len(self.values)} rows is {score}, which is no measurement")
        return score


class Metric(Protocol):
    """One way to measure answers.

    Attributes:
        name: The name recipes and gates use.
        direction: Which way is better; None where the number alone does not say (a gate must then state it).
        needs: What it reads of an answer.
        binary: Each row is 0 or 1 and the score is their mean, so that exact binomial statistics apply.
    """

    @property
    def name(self) -> str: ...
    @property
    def direction(self) -> Direction | None: ...
    @property
    def needs(self) -> Need: ...
    @property
    def binary(self) -> bool: ...

    def measure(self, answers: Sequence[Answer]) -> Measurement:
        """Measure the answers. Raises: InvalidInput: there are none, or one cannot be measured (names which)."""
        ...


def check_answers(metric: str, answers: Sequence[Answer]) -> None:
    """Refuse an empty sample. Raises: InvalidInput: a score over no rows would be a number about nothing."""
    if not answers:
        raise InvalidInput(f"{metric} has no rows to measure: give at least one prediction with its reference")
