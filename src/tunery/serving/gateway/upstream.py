"""The way to engines: one pool of kept connections, and what goes wrong on it in the house's terms."""

from __future__ import annotations

import json
from typing import Any

import httpx
import structlog

from tunery.errors import EngineFailed, MalformedRequest, TuneryError, Unavailable
from tunery.inference.ports import RunningEngine

__all__ = ["Upstream"]

log = structlog.get_logger(__name__)
_ANSWER_SECONDS = 600.0
_IDLE_SECONDS = 3.0
"""Engines close idle connections after five; ours must go first."""


class Upstream:
    """Asks engines. It belongs to the event loop of its first request."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    async def ask(self, engine: RunningEngine, path: str, body: dict[str, Any]) -> httpx.Response:
        """Send a body and return the response with its body unread; the caller closes it.

        Raises:
            MalformedRequest: The engine refuses the request. Unavailable: it is busy, or gone.
        """
        request = self._open().build_request(
            "POST",
            f"{engine.url}{path}",
            content=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {engine.key}", "Content-Type": "application/json"},
        )
        response = await self._send(engine, request)
        if response.status_code < 400:
            return response
        try:
            await response.aread()
        finally:
            await response.aclose()
        raise _refusal(engine, response)

    async def close(self) -> None:
        """Close every connection."""
        if self._client is not None:
            await self._client.aclose()

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=httpx.Timeout(_ANSWER_SECONDS, connect=5.0),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=_IDLE_SECONDS),
                trust_env=False,
            )
        return self._client

    async def _send(self, engine: RunningEngine, request: httpx.Request) -> httpx.Response:
        client = self._open()
        try:
            try:
                return await client.send(request, stream=True)
            except httpx.RemoteProtocolError:
                if not engine.alive():
                    raise
                return await client.send(request, stream=True)  # the engine closed an idle connection just then
        except httpx.TransportError as fault:
            log.warning("an engine does not answer", engine=engine.name, reason=type(fault).__name__)
            raise EngineFailed("the engine that should answer is gone and is started again; try again") from fault


def _refusal(engine: RunningEngine, response: httpx.Response) -> TuneryError:
    status = response.status_code
    try:
        problem = response.json()["error"]
        message, kind = str(problem["message"]), str(problem.get("type"))
    except (ValueError, KeyError, TypeError):
        message, kind = f"HTTP {status}", ""
    if status in (400, 413, 422):
        too_long = kind == "exceed_context_size_error" or "tokens of context" in message
        return MalformedRequest(message, **({"code": "context_length_exceeded"} if too_long else {}))
    log.warning("an engine failed at a request", engine=engine.name, status=status, log=str(engine.log_path))
    if status in (429, 503):
        return Unavailable("the engine is busy; try again in a moment")
    return EngineFailed("the engine failed at this request")
