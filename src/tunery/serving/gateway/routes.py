"""OpenAI's routes. They stand in the same policy table as all others."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from tunery.platform.http.call import AsyncCall
from tunery.platform.http.routes import route
from tunery.serving.directory import Route
from tunery.serving.gateway.relay import Gateway
from tunery.serving.gateway.shapes import ChatAnswer, ChatRequest, ModelEntry, ModelList, TextAnswer, TextRequest

__all__: list[str] = []


_USE = "inference:use"


@route("chat.complete", "POST", "//v1/chat/completions", permission=_USE, body=ChatRequest, answer=ChatAnswer)
async def complete_chat(call: AsyncCall) -> Response:
    """Let a deployed model answer a conversation (OpenAI: create chat completion), whole or streamed.

    With ``stream`` the answer is server-sent events, each with a chunk as OpenAI sends it, and ``[DONE]`` at the end.
    ``max_completion_tokens`` is another name of ``max_tokens``.
    """
    return await _gateway(call).answer(call, "/v1/chat/completions", "messages")


@route("chat.complete_text", "POST", "//v1/completions", permission=_USE, body=TextRequest, answer=TextAnswer)
async def complete_text(call: AsyncCall) -> Response:
    """Let a deployed model go on with a text (OpenAI: create completion), whole or streamed.

    With ``stream`` the answer is server-sent events, each with a chunk as OpenAI sends it, and ``[DONE]`` at the end.
    """
    return await _gateway(call).answer(call, "/v1/completions", "prompt")


@route("chat.models", "GET", "//v1/models", permission=_USE, answer=ModelList)
async def list_models(call: AsyncCall) -> Response:
    """List the deployments that answer (OpenAI: list models)."""
    found = _gateway(call).pool.deployments(call.actor.tenant_id)
    return JSONResponse({"object": "list", "data": [_model(each) for each in found]})


@route("chat.model", "GET", "//v1/models/{model:path}", permission=_USE, answer=ModelEntry)
async def get_model(call: AsyncCall, model: str) -> Response:
    """Show a deployment that answers (OpenAI: retrieve model)."""
    found, _ = _gateway(call).pool.resolve(call.actor.tenant_id, model)
    return JSONResponse(_model(found))


def _model(found: Route) -> dict[str, Any]:
    return {"id": found.name, "object": "model", "created": found.created, "owned_by": found.tenant}


def _gateway(call: AsyncCall) -> Gateway:
    gateway = call.services["gateway"]
    assert isinstance(gateway, Gateway)
    return gateway
