"""``perplexity``: how surprised the model is by the references; lower is better.

exp(-Σ ln p / Σ tokens) over all tokens of all references, so long rows weigh more; a row shows its own perplexity.
Models with different tokenizers cut text into different tokens: compare perplexities only of one tokenizer.

Source: Jelinek, Mercer, Bahl, Baker 1977, "Perplexity: a measure of the difficulty of speech recognition tasks".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunery.errors import InvalidInput
from tunery.evaluation.metrics import METRICS
from tunery.evaluation.ports import Answer, Direction, Measurement, Need, check_answers

if TYPE_CHECKING:
    from tunery.evaluation.ports import FloatArray

__all__ = ["Perplexity"]


@dataclass(frozen=True)
class Perplexity:
    """Perplexity of the references from their token log-probabilities."""

    name: str = "perplexity"
    direction: Direction | None = "lower"
    needs: Need = "logprobs"
    binary: bool = False

    def measure(self, answers: Sequence[Answer]) -> Measurement:
        """Measure the answers. Raises: InvalidInput: there are none, or one lacks usable log-probabilities."""
        import numpy as np

        check_answers(self.name, answers)
        sums, counts = np.empty(len(answers)), np.empty(len(answers))
        for place, answer in enumerate(answers):
            logprobs = answer.logprobs
            if not logprobs or not all(np.isfinite(p) and p <= 0 for p in logprobs):
                raise InvalidInput(
                    f"perplexity, row {place + 1} of {len(answers)}: the reference {answer.reference[:80]!r} has no "
                    "usable token log-probabilities (one finite number <= 0 for each token is needed)"
                )
            sums[place], counts[place] = sum(logprobs), len(logprobs)

        def pooled(weights: FloatArray) -> FloatArray:
            return np.exp(-(weights @ sums) / (weights @ counts))

        return Measurement(np.exp(-sums / counts), pooled)


METRICS.register("perplexity")(Perplexity())
