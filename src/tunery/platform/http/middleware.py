"""Around every request: host check against DNS rebinding, request id, safe headers, numbers."""

from __future__ import annotations

import json
import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunery.kit.ids import new_id
from tunery.platform.telemetry import REQUEST_SECONDS, REQUESTS

__all__ = ["Edge"]

_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]


class Edge:
    """Pure ASGI middleware; it never touches bodies.

    Args:
        app: What it wraps.
        allowed_hosts: Host names that requests may carry; anything else gets a 421.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: frozenset[str]) -> None:
        self.app = app
        self.allowed_hosts = allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection. Source: https://asgi.readthedocs.io/en/latest/specs/www.html"""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1").lower()
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name.strip("[]") not in self.allowed_hosts:
            await _refuse_host(send)
            return
        started, status = time.perf_counter(), 500
        request_id = new_id()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode()), *_HEADERS]
            await send(message)

        try:
            with structlog.contextvars.bound_contextvars(request=request_id):
                await self.app(scope, receive, sending)
        finally:
            operation = scope.get("state", {}).get("operation", "none")
            REQUESTS.labels(operation, status).inc()
            REQUEST_SECONDS.labels(operation).observe(time.perf_counter() - started)


async def _refuse_host(send: Send) -> None:
    problem = {
        "type": "urn:tunery:error:host_not_allowed",
        "title": "This host name is not served here",
        "status": 421,
        "code": "host_not_allowed",
        "detail": "ask for this machine by its own name, or let the setting TUNERY_ALLOWED_HOSTS name this one",
    }
    body = json.dumps(problem).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 421, "headers": headers})
    await send({"type": "http.response.body", "body": body})
