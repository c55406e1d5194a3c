"""``length_ratio``: how long predictions are beside their references; 1 is as long.

The mean over rows of characters predicted / characters of the reference, white space at both ends not counted; an
empty reference counts as one character. Longer is neither better nor worse: a gate on it must state its direction.

Source: the per-row length ratio of Papineni et al. 2002, "BLEU", section 2.2.2 (c / r), in characters instead of words.
"""

from __future__ import annotations

from tunery.evaluation.metrics import METRICS
from tunery.evaluation.row_mean import RowMean

__all__ = ["length_ratio"]


def length_ratio(prediction: str, reference: str) -> float:
    """Return characters predicted per character of the reference."""
    return len(prediction.strip()) / max(len(reference.strip()), 1)


METRICS.register("length_ratio")(RowMean("length_ratio", None, length_ratio))
