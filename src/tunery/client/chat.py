"""Talk to deployed models over the OpenAI protocol; the ``openai`` package works as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from tunery.client.nouns import Noun
from tunery.errors import EngineFailed

__all__ = ["Chat"]

Messages = Sequence[Mapping[str, str]]


class Chat(Noun):
    """What deployments answer. ``model`` is a deployment's name; options are OpenAI's, such as ``max_tokens``."""

    def complete(self, model: str, messages: Messages, **options: Any) -> str:
        """Return a model's whole answer to a conversation. See ``stream``."""
        return "".join(self.stream(model, messages, **options))

    def stream(self, model: str, messages: Messages, **options: Any) -> Iterator[str]:
        """Yield a model's answer to a conversation piece by piece.

        Args:
            model: Name of a deployment.
            messages: ``{"role": ..., "content": ...}`` in order.
            options: ``max_tokens``, ``temperature``, ``top_p``, ``seed``, ``stop``.

        Raises:
            NotFound: Nothing is deployed under that name. EngineFailed: the engine gave up in the middle.
        """
        body = {"model": model, "messages": [dict(message) for message in messages], **options}
        for choice in self._choices("/v1/chat/completions", body):
            if text := (choice.get("delta") or {}).get("content"):
                yield text

    def complete_text(self, model: str, prompt: str, **options: Any) -> str:
        """Return how a model goes on with a text, as it stands and without its chat template."""
        body = {"model": model, "prompt": prompt, **options}
        return "".join(choice.get("text") or "" for choice in self._choices("/v1/completions", body))

    def models(self) -> Sequence[dict[str, Any]]:
        """List the deployments that answer, in OpenAI's shape."""
        return list(self._json("/v1/models")["data"])

    def model(self, name: str) -> dict[str, Any]:
        """Show a deployment that answers, in OpenAI's shape. Raises: NotFound: nothing answers under that name."""
        return self._json(f"/v1/models/{quote(name)}")

    def _json(self, path: str) -> dict[str, Any]:
        with self._transport.stream("GET", path) as response:
            response.read()
            found: dict[str, Any] = response.json()
            return found

    def _choices(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for event in self._transport.post_stream(path, {**body, "stream": True}):
            if error := event.get("error"):
                reason = error.get("message") if isinstance(error, dict) else error
                raise EngineFailed(f"{body['model']} stopped answering: {reason}")
            yield from event.get("choices") or []
