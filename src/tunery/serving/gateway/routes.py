"""OpenAI's routes. They stand in the same policy table as all others."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from tunery.platform.http.call import AsyncCall
from tunery.platform.http.routes import route
from tunery.serving.directory import Route
from tunery.serving.gateway.relay import Gateway

__all__: list[str] = []


@route("chat.complete", "POST", "//v1/chat/completions", permission="inference:use")
async def complete_chat(call: AsyncCall) -> Response:
    """Let a deployed model answer a conversation (OpenAI: create chat completion), whole or streamed."""
    return await _gateway(call).answer(call, "/v1/chat/completions", "messages")


@route("chat.complete_text", "POST", "//v1/completions", permission="inference:use")
async def complete_text(call: AsyncCall) -> Response:
    """Let a deployed model go on with a text (OpenAI: create completion), whole or streamed."""
    return await _gateway(call).answer(call, "/v1/completions", "prompt")


@route("chat.models", "GET", "//v1/models", permission="inference:use")
async def list_models(call: AsyncCall) -> Response:
    """List the deployments that answer (OpenAI: list models)."""
    found = _gateway(call).pool.deployments(call.actor.tenant_id)
    return JSONResponse({"object": "list", "data": [_model(each) for each in found]})


@route("chat.model", "GET", "//v1/models/{model:path}", permission="inference:use")
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
