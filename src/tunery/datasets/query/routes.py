"""The route of queries."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import anyio.to_thread
from anyio import CapacityLimiter
from anyio.lowlevel import RunVar
from fastapi.encoders import jsonable_encoder
from starlette.responses import JSONResponse, Response

from tunery import audit
from tunery.datasets.query.running import run_query
from tunery.datasets.query.schemas import DatasetQuery, QueryResult
from tunery.platform.http import AsyncCall, Envelope, route

__all__: list[str] = []

_AT_ONCE = 2
_threads: RunVar[CapacityLimiter] = RunVar("queries at once")


@route("datasets.query", "POST", "/datasets/query", permission="datasets:read", answer=Envelope[QueryResult])
async def query(call: AsyncCall, body: DatasetQuery) -> Response:
    """Answer a SELECT over datasets; it ends with the connection of who asked."""
    gone = threading.Event()

    async def watch() -> None:
        while not await call.request.is_disconnected():
            await asyncio.sleep(0.2)
        gone.set()

    watching = asyncio.create_task(watch())
    try:
        found = await anyio.to_thread.run_sync(_answered, call, body, gone.is_set, limiter=_limiter())
    finally:
        watching.cancel()
    return JSONResponse({"success": True, "data": jsonable_encoder(found, by_alias=True), "meta": None})


def _answered(call: AsyncCall, body: DatasetQuery, gone: Callable[[], bool]) -> QueryResult:
    read: dict[str, str] = {}
    try:
        return run_query(call.ground, call.actor.tenant_id, body, gone, read)
    finally:  # an error may tell values too
        audit.record_daily(call.ground.database, call.actor, "dataset_read", *read.values())


def _limiter() -> CapacityLimiter:
    try:
        return _threads.get()
    except LookupError:
        limiter = CapacityLimiter(_AT_ONCE)
        _threads.set(limiter)
        return limiter
