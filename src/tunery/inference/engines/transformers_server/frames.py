"""The JSON around an answer."""

from __future__ import annotations

import time
from typing import Any

from tunery.inference.engines.transformers_server.answer import Answer
from tunery.kit.ids import new_id

__all__ = ["Frame"]


class Frame:
    """Shapes one request's answer, whole or as a stream.

    Args:
        kind: ``chat.completion`` or ``text_completion``.
        prompt_tokens: Length of the prompt.
        model: The name that the request used.

    Source: OpenAI API reference, chat completion, chat completion chunk and completion objects.
    """

    def __init__(self, kind: str, prompt_tokens: int, model: str) -> None:
        self._chat = kind == "chat.completion"
        self._prompt_tokens = prompt_tokens
        self._head = {
            "id": f"{'chatcmpl' if self._chat else 'cmpl'}-{new_id()}",
            "object": kind,
            "created": int(time.time()),
            "model": model,
        }

    def whole(self, text: str, answer: Answer) -> dict[str, Any]:
        """Return the body of an answer that is sent in one piece."""
        content = {"message": {"role": "assistant", "content": text}} if self._chat else {"text": text}
        return {**self._head, **self._choice(content, answer.finish_reason), "usage": self._usage(answer)}

    def opening(self) -> list[dict[str, Any]]:
        """Return the chunks that come before any text."""
        return [self._chunk({"delta": {"role": "assistant", "content": ""}}, None)] if self._chat else []

    def piece(self, text: str) -> dict[str, Any]:
        """Return the chunk of a piece of text."""
        return self._chunk({"delta": {"content": text}} if self._chat else {"text": text}, None)

    def closing(self, answer: Answer) -> dict[str, Any]:
        """Return the chunk that says why the answer ended."""
        return self._chunk({"delta": {}} if self._chat else {"text": ""}, answer.finish_reason)

    def usage_chunk(self, answer: Answer) -> dict[str, Any]:
        """Return the chunk of the token counts."""
        return {**self._chunk({}, None), "choices": [], "usage": self._usage(answer)}

    def _chunk(self, content: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
        kind = "chat.completion.chunk" if self._chat else "text_completion"
        return {**self._head, "object": kind, **self._choice(content, finish_reason)}

    def _choice(self, content: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
        return {"choices": [{"index": 0, **content, "logprobs": None, "finish_reason": finish_reason}]}

    def _usage(self, answer: Answer) -> dict[str, int]:
        written = len(answer.tokens)
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": written,
            "total_tokens": self._prompt_tokens + written,
        }
