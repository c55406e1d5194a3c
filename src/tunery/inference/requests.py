"""What every engine checks of a request before it shapes it for its process."""

from __future__ import annotations

from typing import Any

from tunery.errors import MalformedRequest, NotFound
from tunery.inference.ports import RunningEngine
from tunery.inference.schemas import ChatBody, CompletionBody, read_body

__all__ = ["check_adapter", "check_request"]

_IGNORED = {"model", "n", "presence_penalty", "frequency_penalty", "user", "metadata", "logprobs", "echo"}


def check_request(engine: RunningEngine, body: dict[str, Any], adapter: str | None) -> dict[str, Any]:
    """Return the fields of an OpenAI body that shape the answer, checked, with plain messages.

    Args:
        engine: The engine that is to answer.
        body: As it came from outside; with ``messages`` it is a chat, else a completion.
        adapter: The adapter that was asked for.

    Raises:
        MalformedRequest: names every field at fault. NotFound: the engine holds no such adapter.
    """
    check_adapter(engine, adapter)
    checked = read_body(ChatBody, body) if "messages" in body else read_body(CompletionBody, body)
    if checked.max_tokens is not None and checked.max_tokens > engine.spec.context_length:
        raise MalformedRequest(
            f"max_tokens: at most {engine.spec.context_length}, the engine's context", param="max_tokens"
        )
    fields = checked.model_dump(exclude_none=True, exclude=_IGNORED)
    if isinstance(checked, ChatBody):
        if engine.template_digest is None:
            raise MalformedRequest("messages: this model has no chat template; send a prompt instead", param="messages")
        fields["messages"] = [message.plain() for message in checked.messages]
    return fields


def check_adapter(engine: RunningEngine, adapter: str | None) -> None:
    """Refuse an adapter that the engine does not hold; the base never answers instead. Raises: NotFound."""
    if adapter is not None and adapter not in {held.name for held in engine.spec.adapters}:
        raise NotFound(f"this engine holds no adapter {adapter!r}")
