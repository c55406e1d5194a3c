"""Failures as problem JSON (RFC 9457)."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from itertools import groupby, islice
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from tunery.errors import InternalError, InvalidInput, MalformedRequest, MethodNotAllowed, NotFound, TuneryError
from tunery.kit.faults import fault_line, faults_of

__all__ = ["answer_problems", "problem", "speak"]

log = structlog.get_logger(__name__)
_MOST_FAULTS, _TOLD = 100, 5

Dialect = Callable[[TuneryError, int], dict[str, Any]]
_dialects: dict[str, Dialect] = {}


def speak(prefix: str, dialect: Dialect) -> None:
    """Let failures below a path prefix be described in another protocol's words; it gets the error and its status."""
    _dialects[prefix] = dialect


def problem(error: TuneryError) -> dict[str, Any]:
    """Describe an error as problem JSON; details follow as members of their own."""
    title = (type(error).__doc__ or error.code).split(".")[0].split(";")[0].strip()
    head = {"type": f"urn:tunery:error:{error.code}", "title": title, "status": error.status, "code": error.code}
    return {**error.shown, **head, "detail": error.message}


def answer_problems(app: FastAPI) -> None:
    """Make every failure of the application a problem, and none of them a stack trace."""

    @app.exception_handler(TuneryError)
    def _ours(request: Request, error: TuneryError) -> Response:
        if error.status >= 500:
            log.error("request failed", code=error.code, message=error.message, path=request.url.path)
        return _answer(request, error)

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> Response:
        return _answer(request, _faulty(request, error))

    @app.exception_handler(HTTPException)
    def _plain(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            return _answer(request, NotFound("there is no such address; see /api/docs"))
        if error.status_code == 405:
            return _not_so(request)
        return _answer(request, MalformedRequest(str(error.detail)), error.status_code)

    @app.exception_handler(Exception)
    def _fault(request: Request, error: Exception) -> Response:
        log.error("a fault of ours", path=request.url.path, traceback="".join(traceback.format_exception(error)))
        return _answer(request, InternalError())


def _dialect(request: Request) -> Dialect | None:
    return next((dialect for prefix, dialect in _dialects.items() if request.url.path.startswith(prefix)), None)


def _faulty(request: Request, error: RequestValidationError) -> InvalidInput:
    body = getattr(request.scope.get("route"), "body_field", None)
    faults = []
    for place, items in groupby(islice(error.errors(), _MOST_FAULTS), lambda item: item["loc"][0]):
        inside = [item | {"loc": item["loc"][1:]} for item in items]
        if place == "body":
            faults += faults_of(inside, body and body.field_info.annotation, error.body)
        else:
            faults += faults_of(inside)
    text = "; ".join(fault_line(fault if fault["path"] else {**fault, "path": "body"}) for fault in faults[:_TOLD])
    return InvalidInput(text, faults=faults)


def _not_so(request: Request) -> Response:
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is Match.PARTIAL]
    methods = ", ".join(sorted({method for route in routes for method in getattr(route, "methods", None) or ()}))
    message = f"{request.method[:20]} is not possible at this address; possible: {methods}"
    return _answer(request, MethodNotAllowed(message), headers={"Allow": methods})


def _answer(
    request: Request, error: TuneryError, status: int | None = None, headers: dict[str, str] | None = None
) -> Response:
    status, headers = status or error.status, {**(headers or {})}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 503:
        headers["Retry-After"] = "2"
    dialect = _dialect(request)
    if dialect is not None:
        return JSONResponse(dialect(error, status), status, headers)
    said = problem(error) | {"status": status}
    return JSONResponse(said, status, headers, media_type="application/problem+json")
