"""The gateway: OpenAI's protocol over the deployments."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from tunery.platform.http.problems import speak
from tunery.serving.engine_pool import EnginePool
from tunery.serving.gateway.errors import openai_error
from tunery.serving.gateway.relay import Gateway

__all__ = ["Gateway", "mount_gateway"]


def mount_gateway(app: FastAPI, services: dict[str, Any], engines: EnginePool) -> Gateway:
    """Give the gateway's routes what they work with, and let every failure below ``/v1`` be in OpenAI's shape.

    The routes themselves are mounted with all others, by ``mount_routes``.
    """
    gateway = services["gateway"] = Gateway(engines)
    speak("/v1/", openai_error)
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[Any]:
        async with inner(application) as state:
            yield state
            await gateway.upstream.close()

    app.router.lifespan_context = lifespan
    return gateway
