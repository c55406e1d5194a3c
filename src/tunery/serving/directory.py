"""Which name means which version: the table that the gateway looks into for every request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tunery.errors import NotFound, Unavailable
from tunery.serving.targets import Member, Target

__all__ = ["Directory", "Route"]

_LONGEST_NAME = 300


@dataclass(frozen=True)
class Route:
    """One deployment as requests see it; ``member`` is None while no version of it answers."""

    tenant: str
    name: str
    created: int
    member: Member | None
    status: str
    status_reason: str | None

    @property
    def label(self) -> str:
        """The deployment's full name, for numbers."""
        return f"{self.tenant}/{self.name}"


class Directory:
    """An unchanging table of every tenant's deployments; a newer one replaces it whole."""

    def __init__(self, targets: Iterable[Target]) -> None:
        self._routes: dict[str, dict[str, Route]] = {}
        self._aliases: dict[str, dict[str, Route]] = {}
        for target in targets:
            route = Route(
                target.tenant, target.name, target.created, target.served, target.status, target.status_reason
            )
            self._routes.setdefault(target.tenant_id, {})[target.name] = route
        for tenant_id, routes in self._routes.items():
            self._aliases[tenant_id] = _aliases(routes.values())

    def of_tenant(self, tenant_id: str) -> list[Route]:
        """Return a tenant's deployments that answer, by name."""
        return [route for _, route in sorted(self._routes.get(tenant_id, {}).items()) if route.member is not None]

    def resolve(self, tenant_id: str, model: str) -> tuple[Route, Member]:
        """Return what a request's ``model`` names: a deployment, else a deployed ``model:version`` or ``model``.

        Each may stand behind ``tenant/``. A bare model's name means its highest deployed version.

        Raises:
            NotFound: Nothing of that name is deployed in this tenant, whatever other tenants have.
            Unavailable: The deployment is there and no version of it answers.
        """
        routes = self._routes.get(tenant_id, {})
        route = None
        if len(model) <= _LONGEST_NAME:
            tenant, slash, rest = model.rpartition("/")
            own = not slash or any(tenant == known.tenant for known in routes.values())
            name = rest if slash else model
            route = (routes.get(name) or self._aliases.get(tenant_id, {}).get(name)) if own else None
        if route is None:
            shown = model if len(model) <= 80 else f"{model[:80]}..."
            raise NotFound(f"the model {shown!r} does not exist", param="model", code="model_not_found")
        if route.member is None:
            reason = f": {route.status_reason}" if route.status_reason else ""
            raise Unavailable(f"the deployment {route.name!r} is {route.status}{reason}", param="model")
        return route, route.member


def _aliases(routes: Iterable[Route]) -> dict[str, Route]:
    found: dict[str, Route] = {}
    answering = [(route.member, route) for route in routes if route.member is not None]
    for member, route in sorted(answering, key=lambda pair: (pair[0].version_order, pair[1].name)):
        found[member.reference] = found[member.model] = route
    return found
