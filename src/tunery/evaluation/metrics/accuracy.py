"""``accuracy``: the share of rows whose predicted label is the reference label.

Labels are compared after a light normalisation: Unicode NFKC, case folded, inner white space collapsed, and quotes,
white space and ``. , ; : !`` at both ends removed. So ``" Positive."`` is ``positive``; ``positive because`` is not.

Source: accuracy = correct / all, e.g. Manning, Raghavan, Schütze 2008, "Introduction to Information Retrieval", 8.3.
"""

from __future__ import annotations

import unicodedata

from tunery.evaluation.metrics import METRICS
from tunery.evaluation.row_mean import RowMean

__all__ = ["label", "label_match"]

_EDGES = " \t\n\"'`“”‘’.,;:!"


def label(text: str) -> str:
    """Return the text as a label: NFKC, case folded, white space collapsed, quotes and end marks removed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(_EDGES)


def label_match(prediction: str, reference: str) -> float:
    """Tell whether both are the same label: 1 or 0."""
    return float(label(prediction) == label(reference))


METRICS.register("accuracy")(RowMean("accuracy", "higher", label_match, binary=True))
