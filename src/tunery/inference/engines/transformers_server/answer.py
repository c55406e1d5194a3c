"""One answer while it is written: which tokens belong to it, what text is safe to send, and when it ends."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal, TypeAlias

__all__ = ["Answer", "FinishReason"]

FinishReason: TypeAlias = Literal["stop", "length"]


class Answer:
    """Collects tokens into text and sends each piece once no stop text can begin in it any more.

    Args:
        tokenizer: Turns token ids into text.
        end_tokens: Ids that end an answer; they are counted as tokens of the answer but have no text.
        stops: Texts that end the answer and are not part of it.
        max_tokens: Most tokens of the answer.
        send: Called with each new piece of text.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        end_tokens: Collection[int],
        stops: Sequence[str],
        max_tokens: int,
        send: Callable[[str], None],
    ) -> None:
        self.tokens: list[int] = []
        self.finish_reason: FinishReason | None = None
        self._tokenizer = tokenizer
        self._end_tokens = end_tokens
        self._stops = stops
        self._max_tokens = max_tokens
        self._send = send
        self._sent = 0

    def accept(self, token: int) -> bool:
        """Take the next token; tell whether the answer is complete."""
        self.tokens.append(token)
        ended = token in self._end_tokens
        text = self._tokenizer.decode(self.tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        found = [at for at in map(text.find, self._stops) if at >= 0]
        if found or ended:
            self.finish_reason = "stop"
            self._emit(text[: min(found)] if found else text)
        elif len(self.tokens) >= self._max_tokens:
            self.finish_reason = "length"
            self._emit(text)
        else:
            self._emit(text[: self._safe_end(text)])
        return self.finish_reason is not None

    def _emit(self, text: str) -> None:
        if len(text) > self._sent:
            self._send(text[self._sent :])
            self._sent = len(text)

    def _safe_end(self, text: str) -> int:
        """Return how much text can be sent: not half a character, not the beginning of a stop text."""
        end = len(text.rstrip("\ufffd"))
        for stop in self._stops:
            for length in range(min(len(stop) - 1, end), 0, -1):
                if text[:end].endswith(stop[:length]):
                    end -= length
                    break
        return end
