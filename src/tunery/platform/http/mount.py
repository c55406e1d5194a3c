"""Mount every declared route: authenticate, authorise, one transaction, envelope."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import structlog
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from tunery.errors import Forbidden, InternalError, InvalidInput, MalformedRequest, TuneryError, UnsupportedMedia
from tunery.kit.actor import Actor
from tunery.kit.faults import fault_line, nearest
from tunery.platform.ground import Ground
from tunery.platform.http.body import JsonRequest, read_json
from tunery.platform.http.call import AsyncCall, Call
from tunery.platform.http.idempotency import answer_for, remember
from tunery.platform.http.routes import PUBLIC, ROUTES, RouteSpec
from tunery.platform.http.shapes import Envelope

__all__ = ["mount_routes"]

log = structlog.get_logger(__name__)

Authenticate = Callable[[Request], Actor]
Handle = Callable[[Request], Coroutine[Any, Any, Response]]
Result = TypeVar("Result")
_ASKING_THREADS = 16
_UPLOADING_THREADS = 32
_MOST_FAULTS = 20
_NOBODY = Actor("00000000-0000-0000-0000-000000000000", None, "anonymous")


def mount_routes(
    app: FastAPI,
    ground: Ground,
    services: dict[str, Any],
    authenticate: Authenticate,
    on_denied: Callable[[Actor, RouteSpec, Request], None],
    after_commit: Callable[[], None],
    roles_with: Callable[[str], list[str]] = lambda _: [],
) -> None:
    """Mount all of ``ROUTES``.

    Args:
        app: Where to mount.
        ground: The ground.
        services: What ``app.py`` built beyond the ground, by name.
        authenticate: Returns who asks, or raises Unauthenticated.
        on_denied: Told of each call that was denied for want of a permission.
        after_commit: Called after each mutating call was committed (wakes the worker).
        roles_with: Returns the names of the roles that hold a permission; who is denied is told them.
    """

    asking = anyio.CapacityLimiter(_ASKING_THREADS)
    uploading = anyio.CapacityLimiter(_UPLOADING_THREADS)

    async def in_thread(work: Callable[..., Result], *arguments: Any) -> Result:
        return await anyio.to_thread.run_sync(work, *arguments, limiter=asking)

    async def authorise(spec: RouteSpec, request: Request) -> None:
        public = spec.permission == PUBLIC
        actor = request.state.actor = _NOBODY if public else await in_thread(authenticate, request)
        if not public and not actor.may(spec.permission):
            held, needed = ", ".join(sorted(actor.roles)) or "none", " or ".join(roles_with(spec.permission))
            raise Forbidden(
                f"your roles ({held}) do not allow {spec.permission}" + (f"; it takes {needed}" if needed else "")
            )

    async def audited(work: Awaitable[Result], spec: RouteSpec, request: Request) -> Result:
        try:
            return await work
        except Forbidden:
            await in_thread(on_denied, request.state.actor, spec, request)
            raise

    async def carry_out(spec: RouteSpec, route: APIRoute, handle: Handle, request: Request) -> Response:
        await authorise(spec, request)
        if spec.full_path.startswith("/api/"):
            _check_query(request, [parameter.alias for parameter in route.dependant.query_params])
        takes_json = route.body_field is not None
        return await handle(await _with_json(request, ground.settings.max_request_bytes) if takes_json else request)

    async def guard(spec: RouteSpec, route: APIRoute, handle: Handle, request: Request) -> Response:
        """Ask who comes before anything of the body is read, and let no failure out that is not one of ours."""
        request.state.operation = spec.operation_id
        if "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]:
            raise MalformedRequest("an address cannot hold NUL")
        try:
            return await audited(carry_out(spec, route, handle, request), spec, request)
        except (TuneryError, HTTPException, RequestValidationError):
            raise
        except Exception as fault:
            log.error("a fault of ours", operation=spec.operation_id, traceback=traceback.format_exc())
            raise InternalError from fault

    async def answer(spec: RouteSpec, request: Request, arguments: dict[str, Any]) -> Response:
        if not spec.is_async:
            limiter = uploading if spec.reads_body else None
            return await anyio.to_thread.run_sync(run, spec, request, arguments, limiter=limiter)

        async def recheck() -> None:
            await audited(authorise(spec, request), spec, request)

        call = AsyncCall(ground, request.state.actor, request, services, recheck)
        response: Response = await spec.handler(call, **arguments)
        return response

    def run(spec: RouteSpec, request: Request, arguments: dict[str, Any]) -> Response:
        actor = request.state.actor
        reading = spec.method == "GET"
        key = None if reading or spec.secret else request.headers.get("Idempotency-Key")
        with ground.database.session(actor.tenant_id, read_only=reading) as session:
            if key is not None:
                before = answer_for(session, ground.settings, spec.operation_id, key, arguments)
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
        app.router.add_api_route(
            spec.full_path,
            _endpoint(spec, answer),
            methods=[spec.method],
            operation_id=spec.operation_id,
            status_code=spec.status,
            tags=[spec.operation_id.split(".")[0]],
            summary=(inspect.getdoc(spec.handler) or spec.operation_id).split("\n")[0],
            openapi_extra={"x-permission": spec.permission, "x-scope": spec.scope, **_body(spec)},
            route_class_override=_guarded(spec, guard),
            **_response(spec),
        )


def _guarded(
    spec: RouteSpec, guard: Callable[[RouteSpec, APIRoute, Handle, Request], Awaitable[Response]]
) -> type[APIRoute]:
    """Return the kind of FastAPI route whose requests go through the guard. Source: FastAPI, "Custom Request"."""

    class Guarded(APIRoute):
        def get_route_handler(self) -> Handle:
            handle = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                return await guard(spec, self, handle, request)

            return guarded

    return Guarded


def _check_query(request: Request, known: list[str]) -> None:
    """Raise InvalidInput for parameters that the operation does not have: an answer to less than was asked misleads."""
    unknown = sorted({*request.query_params} - {*known})[:_MOST_FAULTS]
    said = {"message": "there is no such query parameter"}
    hints = [nearest(name, known) for name in unknown]
    faults = [
        {"path": name[:100]} | said | ({"hint": hint} if hint else {})
        for name, hint in zip(unknown, hints, strict=True)
    ]
    if faults:
        raise InvalidInput("; ".join(map(fault_line, faults)), faults=faults)


async def _with_json(request: Request, limit: int) -> Request:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UnsupportedMedia(f"the body must be JSON, sent as application/json, not as {kind[:80] or 'nothing'}")
    return JsonRequest(request, await read_json(request, limit))


def _endpoint(spec: RouteSpec, answer: Callable[..., Awaitable[Response]]) -> Callable[..., Any]:
    own = list(inspect.signature(spec.handler, eval_str=True).parameters.values())[1:]

    async def endpoint(request: Request, **arguments: Any) -> Response:
        return await answer(spec, request, arguments)

    first = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Request)
    endpoint.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [first, *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own)], return_annotation=Response
    )
    endpoint.__name__ = spec.operation_id.replace(".", "_")
    endpoint.__doc__ = inspect.getdoc(spec.handler)
    return endpoint


def _body(spec: RouteSpec) -> dict[str, Any]:
    """Tell OpenAPI what a handler reads by itself."""
    if spec.body is None:
        return {}
    schema = spec.body.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": _inlined(schema, schema)}}}}


def _inlined(part: Any, schema: dict[str, Any]) -> Any:
    """Put definitions in the places that refer to them: a reference would be looked up from the document's root."""
    if isinstance(part, list):
        return [_inlined(item, schema) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _inlined(schema["$defs"][part["$ref"].removeprefix("#/$defs/")], schema)
    return {name: _inlined(item, schema) for name, item in part.items() if name != "$defs"}


def _response(spec: RouteSpec) -> dict[str, Any]:
    """Tell OpenAPI what a success looks like; the endpoint itself returns the finished response."""
    if spec.answer is not None:
        return {"response_model": spec.answer}
    shape = inspect.signature(spec.handler, eval_str=True).return_annotation
    if isinstance(shape, type) and issubclass(shape, Response):
        return {"response_model": None}
    is_model = isinstance(shape, type) and issubclass(shape, BaseModel)
    model = Envelope[shape] if is_model or getattr(shape, "__origin__", None) else Envelope[Any]  # type: ignore[valid-type]
    return {"response_model": model}
