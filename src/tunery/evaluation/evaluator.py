"""Measure a list of predictions against a list of references, without a model, a dataset or a database."""

from __future__ import annotations

from collections.abc import Sequence

from tunery.errors import InvalidInput
from tunery.evaluation.metrics import METRICS, metrics_by_name
from tunery.evaluation.ports import Answer

__all__ = ["Evaluator", "exact_match_metric", "length_ratio_metric"]


class Evaluator:
    """Measures predictions by named metrics.

    Args:
        metrics: Names of metrics that read text; see ``tunery.evaluation.metrics.METRICS``.
    """

    def __init__(self, metrics: Sequence[str] = ("exact_match", "length_ratio")) -> None:
        self._metrics = metrics_by_name(metrics)
        blind = [metric.name for metric in self._metrics if metric.needs != "text"]
        if blind:
            raise InvalidInput(f"{', '.join(blind)} cannot be had from text alone: run an evaluation through an engine")

    def evaluate(self, predictions: list[str], references: list[str]) -> dict[str, float | int]:
        """Score the predictions: each metric's name with its value, and ``n``, the number of rows.

        Raises:
            InvalidInput: The lists are empty or of different length, or a metric does not fit the references.
        """
        answers = _answers(predictions, references)
        return {metric.name: metric.measure(answers).score for metric in self._metrics} | {"n": len(answers)}


def exact_match_metric(predictions: list[str], references: list[str]) -> float:
    """Return the share of predictions that are their reference; see ``metrics/exact_match.py``."""
    return METRICS.get("exact_match").measure(_answers(predictions, references)).score


def length_ratio_metric(predictions: list[str], references: list[str]) -> float:
    """Return the mean of predicted length / reference length in characters; see ``metrics/length_ratio.py``."""
    return METRICS.get("length_ratio").measure(_answers(predictions, references)).score


def _answers(predictions: list[str], references: list[str]) -> list[Answer]:
    if len(predictions) != len(references):
        raise InvalidInput(f"{len(predictions)} predictions cannot be paired with {len(references)} references")
    return [Answer(prediction, reference) for prediction, reference in zip(predictions, references, strict=True)]
