"""Answer a request with an engine: whole, or as server-sent events that end in an error where the engine ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tunery.errors import EngineFailed, MalformedRequest, TuneryError, Unavailable
from tunery.kit.lines import async_lines_of
from tunery.platform.http.body import read_json
from tunery.platform.http.call import AsyncCall
from tunery.serving.engine_pool import EnginePool
from tunery.serving.gateway.errors import openai_error
from tunery.serving.gateway.exchange import Exchange
from tunery.serving.gateway.upstream import Upstream

__all__ = ["Gateway"]

Result = TypeVar("Result")
_LOOK_SECONDS = 0.05
_NOBODY_READS = 499
"""Status of an answer whose reader left, as nginx counts them."""


class _Gone(Exception):
    """The client closed its connection."""


class Gateway:
    """Answers OpenAI requests with the pool's engines. No database session is open while it does."""

    def __init__(self, pool: EnginePool) -> None:
        self.pool = pool
        self.upstream = Upstream()

    async def answer(self, call: AsyncCall, path: str, content: str) -> Response:
        """Answer one request.

        Args:
            call: The request; its actor may use inference.
            path: The engine's path.
            content: The field that holds what is asked: ``messages`` or ``prompt``.

        Raises:
            MalformedRequest: names the field at fault. NotFound: no such model. Unavailable: no engine answers.
        """
        started = time.perf_counter()
        body = await read_json(call.request, call.ground.settings.max_request_bytes)
        model = _checked(body, content)
        try:
            exchange = self._leased(call, model)
            if exchange is None:
                exchange = await _unless_gone(call.request, self._wait_for_lease(call, model))
            exchange.started = started
            return await self._exchange(call, exchange, path, body)
        except _Gone:
            return Response(status_code=_NOBODY_READS)

    def _leased(self, call: AsyncCall, model: str) -> Exchange | None:
        route, member = self.pool.resolve(call.actor.tenant_id, model)
        held = self.pool.lease(member)
        return None if held is None else Exchange(self.pool, route, member, held)

    async def _wait_for_lease(self, call: AsyncCall, model: str) -> Exchange:
        """Wait until an engine holds the version: it starts with the first request, and again when it died."""
        seconds = call.ground.settings.engine_start_seconds
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_SECONDS)
            if (exchange := self._leased(call, model)) is not None:
                return exchange
        raise Unavailable(f"no engine answers for {model[:80]!r} after {seconds:.0f} s; try again in a moment")

    async def _exchange(self, call: AsyncCall, exchange: Exchange, path: str, body: dict[str, Any]) -> Response:
        try:
            return await self._ask(call, exchange, path, body)
        except TuneryError as fault:
            exchange.outcome = "refused" if fault.kind == "invalid" else "failed"
            raise
        finally:
            if not exchange.streams:
                exchange.close()

    async def _ask(self, call: AsyncCall, exchange: Exchange, path: str, body: dict[str, Any]) -> Response:
        engine = exchange.held.engine
        shaped = engine.request(body, exchange.member.adapter)
        if not shaped.get("stream"):
            answer = await _unless_gone(call.request, self._whole(exchange, path, shaped))
            exchange.outcome = "ok"
            return JSONResponse(exchange.shaped(answer), headers=exchange.headers())
        wants_usage = bool((shaped.get("stream_options") or {}).get("include_usage"))
        shaped["stream_options"] = {"include_usage": True}
        response = await _unless_gone(call.request, self.upstream.ask(engine, path, shaped))
        exchange.streams = True
        return _Stream(self._events(call, exchange, response, wants_usage), exchange, response)

    async def _whole(self, exchange: Exchange, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = await self.upstream.ask(exchange.held.engine, path, body)
        try:
            return dict(json.loads(await response.aread()))
        except (httpx.TransportError, ValueError) as fault:
            raise EngineFailed("the engine ended before its answer was complete; try again") from fault
        finally:
            await response.aclose()

    async def _events(
        self, call: AsyncCall, exchange: Exchange, response: httpx.Response, wants_usage: bool
    ) -> AsyncIterator[str]:
        seconds = max(1.0, call.ground.settings.grant_cache_seconds)
        recheck_at = time.monotonic() + seconds
        try:
            async for chunk in _chunks(response):
                if time.monotonic() > recheck_at:
                    await call.recheck()
                    recheck_at = time.monotonic() + seconds
                shown = exchange.shaped(chunk)
                if not shown.get("choices") and not wants_usage:
                    continue
                if _has_text(shown):
                    exchange.note_text()
                yield _event(shown)
            exchange.outcome = "ok"
            yield "data: [DONE]\n\n"
        except TuneryError as fault:
            exchange.outcome = "failed"
            self.pool.wake()
            yield _event(openai_error(fault, fault.status))


class _Stream(StreamingResponse):
    """A stream that gives its engine back however it ends, also when it never began."""

    def __init__(self, events: AsyncIterator[str], exchange: Exchange, response: httpx.Response) -> None:
        headers = exchange.headers() | {"X-Accel-Buffering": "no"}
        super().__init__(events, headers=headers, media_type="text/event-stream")
        self._exchange = exchange
        self._response = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream. When the client leaves, closing the connection to the engine ends the generation."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            try:
                await self._response.aclose()
            finally:
                self._exchange.close()


async def _chunks(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """Yield the chunks of an engine's stream. Raises: EngineFailed: it broke off before its end."""
    try:
        async for line in async_lines_of(response.aiter_bytes()):
            if line == "data: [DONE]":
                return
            if line.startswith(("data: ", "error: ")):
                chunk = json.loads(line.partition(": ")[2])
                if "error" in chunk or line.startswith("error"):
                    raise EngineFailed("the engine could not finish the answer")
                yield chunk
    except (httpx.TransportError, ValueError) as fault:
        raise EngineFailed("the engine ended before its answer was complete") from fault
    raise EngineFailed("the engine ended before its answer was complete")


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Return what the work returns; when the client leaves first, cancel it and raise _Gone."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_leaving(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise _Gone
        return working.result()
    finally:
        leaving.cancel()
        if not working.done():
            working.cancel()
            with suppress(asyncio.CancelledError, TuneryError):
                await working


async def _leaving(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _checked(body: dict[str, Any], content: str) -> str:
    model = body.get("model")
    if not isinstance(model, str):
        raise MalformedRequest("model: name the deployment that shall answer", param="model")
    if content not in body or {"messages", "prompt"} <= set(body):
        raise MalformedRequest(f"send {content}, and nothing in place of it", param=content)
    return model


def _has_text(chunk: dict[str, Any]) -> bool:
    return any(choice.get("text") or choice.get("delta", {}).get("content") for choice in chunk["choices"])


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
