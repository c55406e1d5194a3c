"""Gates: what a version must show before it is promoted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunery.client.nouns import Noun, Page, view
from tunery.client.transport import path_of
from tunery.promotion.schemas import GateView, VerdictView

__all__ = ["Gates"]


class Gates(Noun):
    """Criteria under a name, and the verdicts they gave."""

    def create(self, name: str, criteria: Sequence[Mapping[str, Any]], *, description: str = "") -> GateView:
        """Keep criteria under a name.

        Args:
            name: Name of the gate.
            criteria: Each with ``metric`` and a ``threshold`` or a ``margin`` (over ``baseline``), and as wanted
                ``direction``, ``minSamples``, ``confidence``. All of them must pass.
            description: What it is for.
        """
        wish = {"name": name, "description": description, "criteria": [dict(criterion) for criterion in criteria]}
        return view(GateView, self._send("POST", path_of("gates"), wish))

    def list(self, *, limit: int = 50, offset: int = 0) -> Page[GateView]:
        """List gates, without their verdicts."""
        return self._page(GateView, path_of("gates"), limit=limit, offset=offset)

    def get(self, name: str) -> GateView:
        """Show a gate and its newest verdicts."""
        return view(GateView, self._get(path_of("gates", name)))

    def check(self, name: str, version: str, *, evaluation_id: str | None = None) -> VerdictView:
        """Hold a version against a gate; the verdict is kept with its evidence, whatever it says.

        Args:
            name: The gate.
            version: The model version, ``name:1.0.0``.
            evaluation_id: Evaluation to judge; the version's newest completed one where not given.
        """
        wish = {"version": version, "evaluationId": evaluation_id}
        return view(VerdictView, self._send("POST", path_of("gates", name, "check"), wish))
