"""The HTTP face of the llama.cpp engine: what spells a control token goes on as token ids, all else as it came.

llama.cpp's server reads control tokens wherever they stand in a rendered chat or a prompt, so it gets no such text.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tunery.inference.control_tokens import ControlTokens, is_marked
from tunery.kit.lines import async_lines_of

__all__ = ["build_front"]

_CHAT, _TEXT = "/v1/chat/completions", "/v1/completions"
_NOBODY_READS = 499


def build_front(server_url: str, control: ControlTokens, context_length: int) -> Starlette:
    """Build the application in front of a llama.cpp server; the server itself checks the key of every request."""
    # No connection is kept: the server may close it at the moment of the next request, and a new one costs nothing.
    server = httpx.AsyncClient(
        base_url=server_url,
        headers={"Accept-Encoding": "identity"},
        timeout=None,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        trust_env=False,
    )
    front = _Front(server, control, context_length)
    return Starlette(routes=[Route("/{path:path}", front.answer, methods=["GET", "POST"])])


class _Refused(Exception):
    """The server refused a step on the way; its response is the answer."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response


class _Front:
    def __init__(self, server: httpx.AsyncClient, control: ControlTokens, context_length: int) -> None:
        self._server = server
        self._control = control
        self._context_length = context_length
        self._encoding = asyncio.Lock()

    async def answer(self, request: Request) -> Response:
        content = await request.body()
        path = request.url.path
        key = {"Authorization": request.headers.get("authorization", ""), "Content-Type": "application/json"}
        try:
            apart = await self._apart(path, content, key)
        except _Refused as refusal:
            return Response(refusal.response.content, refusal.response.status_code, media_type="application/json")
        sent = self._server.build_request(
            request.method,
            path if apart is None else _TEXT,
            content=content if apart is None else json.dumps(apart),
            headers=key,
        )
        response = await _unless_left(request, self._server.send(sent, stream=True))
        if response is None:
            return Response(status_code=_NOBODY_READS)
        if apart is None or path == _TEXT or response.is_error:
            return _Relay(response.aiter_raw(), response)
        return _Relay(_chat_events(response, apart) if apart.get("stream") else _chat(response), response)

    async def _apart(self, path: str, content: bytes, key: dict[str, str]) -> dict[str, Any] | None:
        """Return the body with its prompt as token ids, or None where nothing in it spells a control token."""
        field = {_CHAT: "messages", _TEXT: "prompt"}.get(path)
        try:
            body = json.loads(content) if field else None
        except ValueError:
            return None  # the server says what is wrong with it
        if not isinstance(body, dict) or field not in body:
            return None
        given = body.pop(field)
        marked = self._control.mark(given)
        if not is_marked(json.dumps(marked, ensure_ascii=False)):
            return None
        text = marked
        if field == "messages":
            text = (await self._ask("/apply-template", {"messages": marked}, key))["prompt"]
        begin = (await self._ask("/tokenize", {"content": "", "add_special": True}, key))["tokens"]
        ids = await self._encoded(text)
        return {**body, "prompt": ids if ids[: len(begin)] == begin else [*begin, *ids]}

    async def _encoded(self, text: str) -> list[int]:
        """Return the ids of a marked text, beside the loop; what cannot fit the context is refused unread."""
        # Marks are at most every other character; each other character belongs to a token no longer than the longest.
        least = len(text) // 2 // self._control.longest_token
        if least > self._context_length:
            message = f"the prompt has more than {least} tokens, and the context holds {self._context_length}"
            error = {"code": 400, "message": message, "type": "exceed_context_size_error"}
            raise _Refused(httpx.Response(400, json={"error": error}))
        async with self._encoding:
            return (await asyncio.to_thread(self._control.encode, text))[0]

    async def _ask(self, path: str, body: dict[str, Any], key: dict[str, str]) -> dict[str, Any]:
        response = await self._server.post(path, json=body, headers=key)
        if response.is_error:
            raise _Refused(response)
        return dict(response.json())


class _Relay(StreamingResponse):
    """An answer passed on; however it ends, the server's connection is closed, which ends the generation."""

    def __init__(self, pieces: AsyncIterator[bytes], response: httpx.Response) -> None:
        super().__init__(pieces, response.status_code, media_type=response.headers.get("content-type"))
        self._response = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._response.aclose()


async def _unless_left(request: Request, sending: Any) -> httpx.Response | None:
    """Return the server's response, or None when the client left before it began."""

    async def leave() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.ensure_future(sending), asyncio.ensure_future(leave())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        leaving.cancel()
        if not working.done():
            working.cancel()
            with suppress(asyncio.CancelledError, httpx.TransportError):
                await working


async def _chat(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield a text completion as a chat completion."""
    answer = json.loads(await response.aread())
    yield json.dumps(_as_chat(answer, "chat.completion", "message")).encode()


async def _chat_events(response: httpx.Response, body: dict[str, Any]) -> AsyncIterator[bytes]:
    """Yield the events of a text completion as those of a chat completion, the token counts in one of their own."""
    async for line in async_lines_of(response.aiter_bytes()):
        kind, _, data = line.partition(": ")
        if kind != "data" or data == "[DONE]":
            if line:
                yield f"{line}\n\n".encode()
            continue
        chunk = json.loads(data)
        usage = chunk.pop("usage", None)
        if chunk.get("choices"):
            yield _event(_as_chat(chunk, "chat.completion.chunk", "delta"))
        elif "error" in chunk:
            yield _event(chunk)
        if usage is not None and (body.get("stream_options") or {}).get("include_usage"):
            yield _event({**chunk, "object": "chat.completion.chunk", "choices": [], "usage": usage})


def _as_chat(answer: dict[str, Any], kind: str, field: str) -> dict[str, Any]:
    choices = [
        {
            "index": choice["index"],
            field: {"role": "assistant", "content": choice["text"]},
            "logprobs": None,
            "finish_reason": choice["finish_reason"],
        }
        for choice in answer["choices"]
    ]
    return {**answer, "object": kind, "choices": choices}


def _event(chunk: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode()
