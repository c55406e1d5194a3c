"""Failures as problem JSON (RFC 9457)."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from tunery.errors import InternalError, InvalidInput, MalformedRequest, NotFound, TuneryError

__all__ = ["answer_problems", "problem", "speak"]

log = structlog.get_logger(__name__)
_MOST_FAULTS = 100

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
        found = error.errors()[:_MOST_FAULTS]
        faults = [{"path": ".".join(str(p)[:200] for p in e["loc"][1:]), "message": e["msg"]} for e in found]
        text = "; ".join(f"{f['path'] or 'body'}: {f['message']}" for f in faults[:5])
        return _answer(request, InvalidInput(text, faults=faults))

    @app.exception_handler(HTTPException)
    def _plain(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            return _answer(request, NotFound("there is no such address; see /api/docs"))
        if _dialect(request) is not None:
            return _answer(request, MalformedRequest(str(error.detail)), error.status_code)
        answer = {"type": "about:blank", "title": str(error.detail), "status": error.status_code, "code": "http"}
        return JSONResponse(answer, error.status_code, media_type="application/problem+json", headers=error.headers)

    @app.exception_handler(Exception)
    def _fault(request: Request, error: Exception) -> Response:
        log.error("a fault of ours", path=request.url.path, traceback="".join(traceback.format_exception(error)))
        return _answer(request, InternalError())


def _dialect(request: Request) -> Dialect | None:
    return next((dialect for prefix, dialect in _dialects.items() if request.url.path.startswith(prefix)), None)


def _answer(request: Request, error: TuneryError, status: int | None = None) -> Response:
    status = status or error.status
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 503:
        headers["Retry-After"] = "2"
    dialect = _dialect(request)
    if dialect is not None:
        return JSONResponse(dialect(error, status), status, headers)
    return JSONResponse(problem(error), status, headers, media_type="application/problem+json")
