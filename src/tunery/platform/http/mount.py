"""Mount every declared route: authenticate, authorise, one transaction, envelope."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from tunery.errors import Forbidden
from tunery.kit.actor import Actor
from tunery.platform.ground import Ground
from tunery.platform.http.call import AsyncCall, Call
from tunery.platform.http.idempotency import answer_for, remember
from tunery.platform.http.routes import PUBLIC, ROUTES, RouteSpec
from tunery.platform.http.shapes import Envelope

__all__ = ["mount_routes"]

Authenticate = Callable[[Request], Actor]
_ASKING_THREADS = 16
_NOBODY = Actor("00000000-0000-0000-0000-000000000000", None, "anonymous")


def mount_routes(
    app: FastAPI,
    ground: Ground,
    services: dict[str, Any],
    authenticate: Authenticate,
    on_denied: Callable[[Actor, RouteSpec, Request], None],
    after_commit: Callable[[], None],
) -> None:
    """Mount all of ``ROUTES``.

    Args:
        app: Where to mount.
        ground: The ground.
        services: What ``app.py`` built beyond the ground, by name.
        authenticate: Returns who asks, or raises Unauthenticated.
        on_denied: Told of each call that was denied for want of a permission.
        after_commit: Called after each mutating call was committed (wakes the worker).
    """

    # Threads of its own: uploads that occupy all others must not keep a stream from being authorised.
    asking = anyio.CapacityLimiter(_ASKING_THREADS)

    def authorised(spec: RouteSpec, request: Request) -> Actor:
        if spec.permission == PUBLIC:
            return _NOBODY
        actor = authenticate(request)
        if not actor.may(spec.permission):
            on_denied(actor, spec, request)
            raise Forbidden(f"your roles ({', '.join(sorted(actor.roles)) or 'none'}) do not allow {spec.permission}")
        return actor

    async def run_async(spec: RouteSpec, request: Request, arguments: dict[str, Any]) -> Response:
        async def ask() -> Actor:
            return await anyio.to_thread.run_sync(authorised, spec, request, limiter=asking)

        async def recheck() -> None:
            await ask()

        response: Response = await spec.handler(AsyncCall(ground, await ask(), request, services, recheck), **arguments)
        return response

    def run(spec: RouteSpec, request: Request, arguments: dict[str, Any]) -> Response:
        actor = authorised(spec, request)
        reading = spec.method == "GET"
        key = None if reading else request.headers.get("Idempotency-Key")
        with ground.database.session(actor.tenant_id, read_only=reading) as session:
            if key is not None:
                before = answer_for(session, spec.operation_id, key, arguments)
                session.commit()  # the deed gets a transaction of its own, begun by its own first statement
                if before is not None:
                    return JSONResponse(before, status_code=spec.status)
            call = Call(ground, actor, session, request, services)
            result = spec.handler(call, **arguments)
            if isinstance(result, Response):
                answer: Any = None
            else:
                answer = {"success": True, "data": jsonable_encoder(result, by_alias=True), "meta": call.meta}
                if key is not None:
                    remember(session, spec.operation_id, key, arguments, answer)
        if not reading:
            after_commit()
        return result if isinstance(result, Response) else JSONResponse(answer, status_code=spec.status)

    for _, spec in ROUTES:
        app.add_api_route(
            spec.full_path,
            _endpoint(spec, run_async if spec.is_async else run),
            methods=[spec.method],
            operation_id=spec.operation_id,
            status_code=spec.status,
            tags=[spec.operation_id.split(".")[0]],
            summary=(inspect.getdoc(spec.handler) or spec.operation_id).split("\n")[0],
            openapi_extra={"x-permission": spec.permission, "x-scope": spec.scope},
            **_response(spec),
        )


def _endpoint(spec: RouteSpec, run: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(spec.handler, eval_str=True)
    own = list(signature.parameters.values())[1:]

    def endpoint(request: Request, **arguments: Any) -> Response:
        request.state.operation = spec.operation_id
        response: Response = run(spec, request, arguments)
        return response

    async def async_endpoint(request: Request, **arguments: Any) -> Response:
        request.state.operation = spec.operation_id
        response: Response = await run(spec, request, arguments)
        return response

    chosen: Callable[..., Any] = async_endpoint if spec.is_async else endpoint
    first = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Request)
    chosen.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [first, *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own)], return_annotation=Response
    )
    chosen.__name__ = spec.operation_id.replace(".", "_")
    chosen.__doc__ = inspect.getdoc(spec.handler)
    return chosen


def _response(spec: RouteSpec) -> dict[str, Any]:
    """Tell OpenAPI what a success looks like; the endpoint itself returns the finished response."""
    shape = inspect.signature(spec.handler, eval_str=True).return_annotation
    if isinstance(shape, type) and issubclass(shape, Response):
        return {"response_model": None}
    is_model = isinstance(shape, type) and issubclass(shape, BaseModel)
    model = Envelope[shape] if is_model or getattr(shape, "__origin__", None) else Envelope[Any]  # type: ignore[valid-type]
    return {"response_model": model}
