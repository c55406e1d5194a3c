"""``exact_match``: the share of predictions that are the reference, character for character.

White space at both ends does not count (a completion begins with a space); nothing else is forgiven.

Source: exact match as in Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text",
section 6.1, without its text normalisation (``token_f1`` has that).
"""

from __future__ import annotations

from tunery.evaluation.metrics import METRICS
from tunery.evaluation.row_mean import RowMean

__all__ = ["exact_match"]


def exact_match(prediction: str, reference: str) -> float:
    """Tell whether the prediction is the reference: 1 or 0."""
    return float(prediction.strip() == reference.strip())


METRICS.register("exact_match")(RowMean("exact_match", "higher", exact_match, binary=True))
