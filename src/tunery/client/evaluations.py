"""Evaluations: what a model version does on held-out rows, and how two of them compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunery.client.nouns import Noun, Page, view
from tunery.client.transport import path_of
from tunery.evaluation.schemas import ComparisonView, EvaluationView, PredictionView

__all__ = ["Evaluations"]


class Evaluations(Noun):
    """Measurements of model versions; every prediction is kept."""

    def create(
        self,
        model: str,
        dataset: str,
        *,
        metrics: Sequence[str] = ("exact_match",),
        split: str = "test",
        prompt: Mapping[str, Any] | None = None,
        engine: str | None = None,
        max_rows: int | None = None,
        max_tokens: int = 256,
    ) -> EvaluationView:
        """Measure a model version; a job does the work (``jobs.wait`` waits for it).

        Args:
            model: The version, ``name:1.0.0``.
            dataset: The dataset version, ``name`` or ``name:1``.
            metrics: Names of the metrics; the first one leads.
            split: Which rows.
            prompt: How the model is asked: ``style``, ``instruction``, ``shots``, ``seed``, ``stop``, ``maxTokens``.
            engine: Inference engine; the server's own choice where not given.
            max_rows: Rows at most, drawn by row id.
            max_tokens: Longest answer.
        """
        wish = {
            "modelVersionId": model,
            "dataset": dataset,
            "split": split,
            "metrics": [*metrics],
            "prompt": dict(prompt or {}),
            "engine": engine,
            "maxRows": max_rows,
            "maxTokens": max_tokens,
        }
        return view(EvaluationView, self._send("POST", path_of("evaluations"), wish))

    def list(self, *, model: str | None = None, limit: int = 50, offset: int = 0) -> Page[EvaluationView]:
        """List evaluations, the newest first; of one model version where it is given."""
        return self._page(EvaluationView, path_of("evaluations"), model=model, limit=limit, offset=offset)

    def get(self, evaluation_id: str) -> EvaluationView:
        """Show an evaluation with its scores."""
        return view(EvaluationView, self._get(path_of("evaluations", evaluation_id)))

    def compare(self, baseline_id: str, candidate_id: str) -> Page[ComparisonView]:
        """Compare two completed evaluations on the same rows: difference, 95 % interval, paired p-value by metric."""
        wish = {"baselineId": baseline_id, "candidateId": candidate_id}
        found = self._send("POST", path_of("evaluations", "compare"), wish)
        return Page(view(ComparisonView, item) for item in found)

    def predictions(self, evaluation_id: str, *, limit: int = 50, offset: int = 0) -> Page[PredictionView]:
        """List what the model was asked, what it answered and what that scored, row by row."""
        path = path_of("evaluations", evaluation_id, "predictions")
        return self._page(PredictionView, path, limit=limit, offset=offset)
