"""HTTP: the one way to mount a route, the envelope of successes, problem JSON for failures."""

from tunery.platform.http.call import Call
from tunery.platform.http.routes import PUBLIC, ROUTES, RouteSpec, route
from tunery.platform.http.shapes import Camel, Envelope

__all__ = ["PUBLIC", "ROUTES", "Call", "Camel", "Envelope", "RouteSpec", "route"]
