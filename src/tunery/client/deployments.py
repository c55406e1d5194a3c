"""Deployments: versions that answer under a name over the OpenAI protocol."""

from __future__ import annotations

import time

from tunery.client.nouns import Noun, Page, view
from tunery.client.transport import path_of
from tunery.errors import EngineFailed, Unavailable
from tunery.serving.schemas import DeploymentView

__all__ = ["Deployments"]

_POLL_SECONDS = 0.3


class Deployments(Noun):
    """What is served, and how it is."""

    def create(
        self,
        version: str,
        *,
        name: str | None = None,
        environment: str = "local",
        engine: str | None = None,
        health_check: bool = True,
    ) -> DeploymentView:
        """Deploy a version under a name, or point that name at another version once it answers.

        Args:
            version: ``name:1.0.0``, or a name for its newest version.
            name: What requests send as ``model``; the model's own name where not given.
            environment: A label.
            engine: Inference engine; the server's own choice where not given.
            health_check: Let it answer one request before it is put live.
        """
        wish = {
            "version": version,
            "name": name,
            "environment": environment,
            "engine": engine,
            "healthCheckEnabled": health_check,
        }
        return view(DeploymentView, self._send("POST", path_of("deployments"), wish))

    def list(self, *, limit: int = 50, offset: int = 0) -> Page[DeploymentView]:
        """List deployments with what they serve and how they are."""
        return self._page(DeploymentView, path_of("deployments"), limit=limit, offset=offset)

    def get(self, name: str) -> DeploymentView:
        """Show a deployment."""
        return view(DeploymentView, self._get(path_of("deployments", name)))

    def delete(self, name: str) -> DeploymentView:
        """Take a deployment away; it answers no more."""
        return view(DeploymentView, self._send("DELETE", path_of("deployments", name)))

    def wait(self, name: str, *, timeout_seconds: float = 600) -> DeploymentView:
        """Wait until a deployment answers, and return it.

        Raises:
            EngineFailed: It failed or was stopped; the reason is named. Unavailable: it takes longer than that.
        """
        until = time.monotonic() + timeout_seconds
        while (found := self.get(name)).status == "starting":
            if time.monotonic() > until:
                raise Unavailable(
                    f"deployment {name} is still starting after {timeout_seconds:.0f} s; look again later"
                )
            time.sleep(_POLL_SECONDS)
        if found.status != "ready":
            raise EngineFailed(f"deployment {name} is {found.status}: {found.status_reason or 'no reason was given'}")
        return found
