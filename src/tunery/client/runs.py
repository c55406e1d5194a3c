"""Runs: trainings, and their metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunery.client.nouns import Noun, Page, view
from tunery.client.transport import path_of
from tunery.training.views import RunMetricView, RunView

__all__ = ["Runs"]


class Runs(Noun):
    """Trainings of the tenant."""

    def create(
        self,
        name: str,
        dataset: str,
        base: str,
        *,
        training: Mapping[str, Any] | None = None,
        save_best_model: bool = True,
    ) -> RunView:
        """Train on a dataset version from a registered base; a job does the work (``jobs.wait`` waits for it).

        Args:
            name: What the run is for; names need not differ.
            dataset: The dataset version, ``name`` or ``name:1``.
            base: The registered base, ``name:1.0.0``.
            training: As in a recipe: ``method``, ``adapter``, ``hyperparameters``, ``optimization``, ``seed``.
            save_best_model: Keep the weights of the best validation loss, not the last ones.
        """
        wish = {
            "name": name,
            "dataset": dataset,
            "base": base,
            "training": dict(training or {}),
            "saveBestModel": save_best_model,
        }
        return view(RunView, self._send("POST", path_of("runs"), wish))

    def list(self, *, limit: int = 50, offset: int = 0) -> Page[RunView]:
        """List training runs, the newest first."""
        return self._page(RunView, path_of("runs"), limit=limit, offset=offset)

    def get(self, run_id: str) -> RunView:
        """Show a training run."""
        return view(RunView, self._get(path_of("runs", run_id)))

    def metrics(self, run_id: str) -> Page[RunMetricView]:
        """Show a run's curves: training loss by step, validation loss where it was measured."""
        return self._page(RunMetricView, path_of("runs", run_id, "metrics"))

    def cancel(self, run_id: str) -> RunView:
        """End a run after its current step; a checkpoint is kept."""
        return view(RunView, self._send("POST", path_of("runs", run_id, "cancel")))
