"""HTTP: the one way to mount a route, the envelope of successes, problem JSON for failures.

Only the shapes load at once: schemas build on them, and the SDK reads schemas without loading a server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tunery.platform.http.shapes import Camel, Envelope

if TYPE_CHECKING:
    from tunery.platform.http.call import Call
    from tunery.platform.http.routes import PUBLIC, ROUTES, RouteSpec, route

__all__ = ["PUBLIC", "ROUTES", "Call", "Camel", "Envelope", "RouteSpec", "route"]

_LATE = {"Call": "call", "PUBLIC": "routes", "ROUTES": "routes", "RouteSpec": "routes", "route": "routes"}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
