"""``f1_score``: the macro F1 over labels.

F1 of a label is 2·TP / (2·TP + FP + FN); the score is the plain mean over the labels that stand in the references.
Labels are normalised as in ``accuracy``. A prediction that is no reference label is a miss for the row's label and no
class of its own: a generating model's stray sentences would otherwise each add a class with F1 = 0. A row shows 1
where its label is right, else 0; the score is not the mean of these.

Source: Yang 1999, "An Evaluation of Statistical Approaches to Text Categorization", macro-averaged F1; equals
scikit-learn's ``f1_score(y_true, y_pred, labels=set(y_true), average="macro", zero_division=0)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunery.evaluation.metrics import METRICS
from tunery.evaluation.metrics.accuracy import label
from tunery.evaluation.ports import Answer, Direction, Measurement, Need, check_answers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tunery.evaluation.ports import FloatArray

__all__ = ["MacroF1"]


@dataclass(frozen=True)
class MacroF1:
    """Macro F1 over the labels of the references."""

    name: str = "f1_score"
    direction: Direction | None = "higher"
    needs: Need = "text"
    binary: bool = False

    def measure(self, answers: Sequence[Answer]) -> Measurement:
        """Measure the answers. Raises: InvalidInput: there are none."""
        import numpy as np

        check_answers(self.name, answers)
        place = {text: i for i, text in enumerate(sorted({label(a.reference) for a in answers}))}
        wanted = np.array([place[label(a.reference)] for a in answers])
        given = np.array([place.get(label(a.prediction), -1) for a in answers])
        right = (wanted == given).astype(np.float64)

        def macro(weights: FloatArray) -> FloatArray:
            hits = _sum_by_label(weights * right, wanted, len(place))
            support = _sum_by_label(weights, wanted, len(place))
            predicted = _sum_by_label(weights, given, len(place))
            # A label that a resample does not hold is no label of that sample.
            present = support > 0
            f1 = 2 * hits / np.where(present, support + predicted, 1.0)
            return (f1 * present).sum(axis=1) / present.sum(axis=1)  # type: ignore[no-any-return]

        return Measurement(right, macro)


def _sum_by_label(weights: FloatArray, labels: NDArray[np.int64], count: int) -> FloatArray:
    """Sum weights [samples, rows] by the rows' labels to [samples, count]; label -1 is left out."""
    import numpy as np

    sums = np.zeros((weights.shape[0], count))
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]
    if len(order):
        present, starts = np.unique(labels[order], return_index=True)
        sums[:, present] = np.add.reduceat(weights[:, order], starts, axis=1)
    return sums


METRICS.register("f1_score")(MacroF1())
