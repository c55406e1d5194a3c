"""``@route``: the one way to mount a route. Without a permission a route cannot even be declared."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from tunery.errors import InternalError
from tunery.plugins import Registry

__all__ = ["PUBLIC", "ROUTES", "Method", "RouteSpec", "route"]

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
PUBLIC = "public"
"""The permission of routes that anyone may call; written out, so that it is a choice and never an omission."""


@dataclass(frozen=True)
class RouteSpec:
    """One row of the policy table.

    Attributes:
        operation_id: ``noun.verb``; the SDK method and the CLI command have the same name.
        method: HTTP method; GET runs in a read-only transaction.
        path: Below ``/api/v1`` unless it begins with ``//`` (then from the root).
        permission: ``noun:verb`` that the actor must hold, or ``PUBLIC``.
        scope: ``tenant``: works on things of the actor's tenant; ``self``: on the actor's own; ``public``: on none.
        status: Status of a success.
        handler: Takes a ``Call`` first, then what FastAPI reads from path, query and body. An async one takes an
            ``AsyncCall`` instead: it has no session, and returns a finished response.
        reads_body: The handler reads a raw body for as long as it comes: it runs on threads of its own, so that slow
            uploads keep nobody else waiting.
        secret: The answer holds a secret that is shown once: it is not kept for an idempotency key.
        body: What OpenAPI says of the body that the handler reads by itself.
        answer: What OpenAPI says of the response that the handler makes by itself.
    """

    operation_id: str
    method: Method
    path: str
    permission: str
    scope: Literal["tenant", "self", "public"]
    status: int
    handler: Callable[..., Any]
    secret: bool = False
    reads_body: bool = False
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None

    @property
    def is_async(self) -> bool:
        """Whether the handler is a coroutine function."""
        return inspect.iscoroutinefunction(self.handler)

    @property
    def full_path(self) -> str:
        """The path from the server's root."""
        return self.path[1:] if self.path.startswith("//") else f"/api/v1{self.path}"


ROUTES: Registry[RouteSpec] = Registry("route")


def route(
    operation_id: str,
    method: Method,
    path: str,
    *,
    permission: str,
    scope: Literal["tenant", "self", "public"] = "tenant",
    status: int = 200,
    secret: bool = False,
    reads_body: bool = False,
    body: type[BaseModel] | None = None,
    answer: type[BaseModel] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare the decorated function as a route of the house.

    Raises:
        InternalError: No permission was given, or a public route claims a tenant.
    """
    if not permission or (permission == PUBLIC) != (scope == "public"):
        raise InternalError(f"route {operation_id} needs a permission that fits its scope")

    def keep(handler: Callable[..., Any]) -> Callable[..., Any]:
        spec = RouteSpec(
            operation_id, method, path, permission, scope, status, handler, secret, reads_body, body, answer
        )
        ROUTES.register(operation_id)(spec)
        return handler

    return keep
