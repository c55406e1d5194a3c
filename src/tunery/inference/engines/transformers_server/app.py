"""The HTTP face: OpenAI's chat and completions, ``/score``, health and models; every path but health needs the key."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from tunery.errors import MalformedRequest, TuneryError
from tunery.inference.engines.transformers_server.answer import Answer
from tunery.inference.engines.transformers_server.frames import Frame
from tunery.inference.engines.transformers_server.model import LoadedModel
from tunery.inference.engines.transformers_server.worker import Events, Generation, Scoring, Worker
from tunery.inference.schemas import ChatBody, CompletionBody, ScoreBody, read_body

__all__ = ["build_app"]

log = logging.getLogger(__name__)

_NOBODY_READS = 499


def build_app(model: LoadedModel, worker: Worker, *, key: str, adapters: list[str], context_length: int) -> FastAPI:
    """Build the application that answers the holder of the key."""
    app = FastAPI(title="Tunery transformers engine", docs_url=None, redoc_url=None, openapi_url=None)
    app.middleware("http")(_guard(key))
    app.exception_handler(TuneryError)(_refuse)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        names = ["model", *adapters]
        return {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "tunery"} for name in names]}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        adapter, raw = await _read(request)
        body = read_body(ChatBody, raw)
        prompt = await asyncio.to_thread(model.encode_chat, [message.plain() for message in body.messages])
        return await _respond(
            request, body, _generation(model, body, prompt, adapter, context_length), worker, "chat.completion"
        )

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        adapter, raw = await _read(request)
        body = read_body(CompletionBody, raw)
        prompt = await asyncio.to_thread(model.encode, body.prompt, special=True)
        return await _respond(
            request, body, _generation(model, body, prompt, adapter, context_length), worker, "text_completion"
        )

    @app.post("/score")
    async def score(request: Request) -> dict[str, Any]:
        adapter, raw = await _read(request)
        body = read_body(ScoreBody, raw)
        model.check_adapter(adapter)
        prompt, completion = await asyncio.to_thread(_score_tokens, model, body)
        _check_length(len(prompt) + len(completion), context_length)
        work = Scoring(adapter, Events(), prompt, completion)
        worker.submit(work)
        logprobs = await work.events.get()
        return {"logprob_sum": sum(logprobs), "tokens": len(logprobs), "logprobs": logprobs}

    return app


def _guard(key: str) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]:
    expected = f"Bearer {key}".encode()

    async def guard(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        given = request.headers.get("authorization", "").encode()
        if request.url.path != "/health" and not hmac.compare_digest(given, expected):
            return _problem(401, "unauthenticated", "this engine answers only the holder of its key")
        return await proceed(request)

    return guard


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, TuneryError)
    return _problem(400 if error.kind == "invalid" else error.status, error.code, error.message)


def _problem(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": code, "code": status}}, status)


async def _read(request: Request) -> tuple[str | None, dict[str, Any]]:
    try:
        body = json.loads(await request.body())
    except ValueError as fault:
        raise MalformedRequest(f"the body is no JSON: {fault}") from fault
    if not isinstance(body, dict):
        raise MalformedRequest("the body must be a JSON object")
    return body.pop("adapter", None), body


def _generation(
    model: LoadedModel, body: ChatBody | CompletionBody, prompt: list[int], adapter: str | None, context_length: int
) -> Generation:
    model.check_adapter(adapter)
    _check_length(len(prompt) + 1, context_length)
    events = Events()
    answer = Answer(
        model.tokenizer,
        end_tokens=model.end_tokens,
        stops=body.stops,
        max_tokens=min(body.max_tokens or context_length, context_length - len(prompt)),
        send=events.put,
    )
    temperature = 1.0 if body.temperature is None else body.temperature
    return Generation(adapter, events, answer, prompt, temperature, body.top_p or 1.0, body.seed)


def _check_length(tokens: int, context_length: int) -> None:
    if tokens > context_length:
        raise MalformedRequest(f"the request needs {tokens} tokens of context, the engine has {context_length}")


def _score_tokens(model: LoadedModel, body: ScoreBody) -> tuple[list[int], list[int]]:
    if body.messages is not None:
        prompt = model.encode_chat([message.plain() for message in body.messages])
    else:
        prompt = model.encode(body.prompt or "", special=True)
    return prompt, model.encode(body.completion, special=False)


async def _respond(
    request: Request, body: ChatBody | CompletionBody, work: Generation, worker: Worker, kind: str
) -> Response:
    worker.submit(work)
    frame = Frame(kind, len(work.prompt), body.model or "model")
    if body.stream:
        usage = bool(body.stream_options and body.stream_options.include_usage)
        return StreamingResponse(_stream(work, frame, usage), media_type="text/event-stream")
    text = await _unless_left(request, _whole(work))
    return Response(status_code=_NOBODY_READS) if text is None else JSONResponse(frame.whole(text, work.answer))


async def _unless_left(request: Request, answering: Coroutine[Any, Any, str]) -> str | None:
    """Return the answer, or None when the client left before it was whole; the worker then drops it."""

    async def leave() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = asyncio.ensure_future(answering), asyncio.ensure_future(leave())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return tasks[0].result() if tasks[0].done() else None
    finally:
        for task in tasks:
            task.cancel()


async def _whole(work: Generation) -> str:
    return "".join([piece async for piece in _pieces(work)])


async def _pieces(work: Generation) -> AsyncIterator[str]:
    """Yield the texts of an answer. When it is no longer asked for, the worker drops it at its next step."""
    try:
        while not isinstance(event := await work.events.get(), Answer):
            yield event
    finally:
        work.events.unheard = True


async def _stream(work: Generation, frame: Frame, usage: bool) -> AsyncIterator[str]:
    try:
        for chunk in frame.opening():
            yield _event(chunk)
        async for piece in _pieces(work):
            yield _event(frame.piece(piece))
        yield _event(frame.closing(work.answer))
        if usage:
            yield _event(frame.usage_chunk(work.answer))
        yield "data: [DONE]\n\n"
    except Exception:  # the headers are sent already: only the stream itself can say that the answer is incomplete
        log.exception("a stream failed")
        yield _event({"error": {"message": "the answer could not be finished", "type": "internal", "code": 500}})


def _event(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
