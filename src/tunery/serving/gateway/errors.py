"""Failures in OpenAI's shape. Source: OpenAI API reference, "Error codes"; openai-python, ``APIError``."""

from __future__ import annotations

from typing import Any

from tunery.errors import TuneryError

__all__ = ["openai_error"]

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {"unauthenticated": "invalid_api_key"}


def openai_error(error: TuneryError, status: int) -> dict[str, Any]:
    """Return the body of a failure: ``{"error": {message, type, param, code}}``."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    code = error.details.get("code") or _CODES.get(error.code, error.code)
    return {"error": {"message": error.message, "type": kind, "param": error.details.get("param"), "code": code}}
