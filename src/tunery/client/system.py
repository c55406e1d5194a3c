"""The system itself: alive, ready, its numbers, and who you are to it."""

from __future__ import annotations

from tunery.api.schemas import SystemView
from tunery.client.nouns import Noun, view
from tunery.client.transport import path_of

__all__ = ["System"]


class System(Noun):
    """What is running there."""

    def get(self) -> SystemView:
        """Show what is running there and who you are to it."""
        return view(SystemView, self._get(path_of("system")))

    def live(self) -> str:
        """Tell that the process answers."""
        return self._text("/healthz")

    def ready(self) -> str:
        """Tell that the database answers too. Raises: Unavailable: it does not."""
        return self._text("/readyz")

    def metrics(self) -> str:
        """Return all numbers in Prometheus' text format."""
        return self._text("/metrics")

    def _text(self, path: str) -> str:
        with self._transport.stream("GET", path) as response:
            response.read()
            return response.text
