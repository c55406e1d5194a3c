"""HTTP: the one way to mount a route, the envelope of successes, problem JSON for failures.

Shapes are light and imported at once; what needs the web framework is imported when it is first asked for, so that the
SDK can read a room's schemas without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunery.platform.http.shapes import Camel, Envelope

if TYPE_CHECKING:
    from tunery.platform.http.call import AsyncCall, Call
    from tunery.platform.http.queries import Limit, Offset
    from tunery.platform.http.routes import PUBLIC, ROUTES, RouteSpec, route

__all__ = ["PUBLIC", "ROUTES", "AsyncCall", "Call", "Camel", "Envelope", "Limit", "Offset", "RouteSpec", "route"]


def __getattr__(name: str) -> Any:
    if name in ("AsyncCall", "Call"):
        from tunery.platform.http import call

        return getattr(call, name)
    if name in ("Limit", "Offset"):
        from tunery.platform.http import queries

        return getattr(queries, name)
    if name in ("PUBLIC", "ROUTES", "RouteSpec", "route"):
        from tunery.platform.http import routes

        return getattr(routes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
