"""One question to a running engine: bounded retries, and what goes wrong in the house's terms."""

from __future__ import annotations

import random
import time
from typing import Any

import httpx

from tunery.errors import EngineFailed, MalformedRequest, NotFound, TuneryError, Unavailable
from tunery.inference.child import engine_failure
from tunery.inference.ports import RunningEngine

__all__ = ["ask", "engine_client", "refusal"]

_ATTEMPTS = 4
_FIRST_PAUSE_SECONDS = 0.2


def engine_client(engine: RunningEngine, *, connections: int, timeout_seconds: float) -> httpx.Client:
    """Return a client that holds the engine's key; ``timeout_seconds`` bounds the wait for each answer."""
    return httpx.Client(
        base_url=engine.url,
        headers={"Authorization": f"Bearer {engine.key}"},
        timeout=timeout_seconds,
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        trust_env=False,
    )


def ask(client: httpx.Client, engine: RunningEngine, path: str, body: dict[str, Any], what: str) -> dict[str, Any]:
    """Send a body and return the engine's answer; a lost connection or a busy engine is tried again, four times in all.

    Args:
        client: From ``engine_client``.
        engine: The engine behind it.
        path: Such as ``/v1/completions``.
        body: What to send.
        what: Names the question in an error, such as ``prompt 7``.

    Raises:
        EngineFailed: it died, failed, or still does not answer. MalformedRequest: it refuses the question.
        NotFound: it holds no such adapter.
    """
    trouble = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))
        try:
            response = client.post(path, json=body)
        except httpx.TimeoutException as late:
            raise engine_failure(f"{engine.name} gave no answer to {what} in time", engine.log_path) from late
        except httpx.TransportError as fault:
            _check_alive(engine, what)
            trouble = str(fault) or type(fault).__name__
            continue
        if response.status_code < 400:
            return dict(response.json())
        error = refusal(engine, response)
        if not isinstance(error, Unavailable) or isinstance(error, EngineFailed):
            raise type(error)(f"{what}: {error.message}", **error.details)
        trouble = error.message
    raise EngineFailed(f"{engine.name} does not answer {what} after {_ATTEMPTS} tries: {trouble}")


def refusal(engine: RunningEngine, response: httpx.Response) -> TuneryError:
    """Return the error that an engine's response of status 400 or more stands for; its body must have been read."""
    status = response.status_code
    try:
        problem = response.json()["error"]
        message, kind = str(problem["message"]), str(problem.get("type"))
    except (ValueError, KeyError, TypeError):
        message, kind = f"HTTP {status}", ""
    if status == 404:
        return NotFound(message)
    if status in (400, 413, 422):
        too_long = kind == "exceed_context_size_error" or "tokens of context" in message
        return MalformedRequest(message, **({"code": "context_length_exceeded"} if too_long else {}))
    # llama.cpp answers 500 where a template raises, for instance as two turns of one role follow each other.
    _, template_raised, reason = message.partition("Jinja Exception: ")
    if template_raised:
        return MalformedRequest(f"the model's chat template refuses the messages: {reason}", param="messages")
    if status in (429, 503):
        return Unavailable("the engine is busy; try again in a moment")
    return engine_failure(f"{engine.name} failed at a request ({status})", engine.log_path)


def _check_alive(engine: RunningEngine, what: str) -> None:
    if not engine.alive():
        raise engine_failure(f"{engine.name} ended before it answered {what}", engine.log_path)
