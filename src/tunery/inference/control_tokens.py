"""Text from outside never becomes a control token: only what the chat template itself writes does.

A control token that a text spells is marked before the template is rendered; what holds a mark is then encoded as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from tunery.errors import InvalidInput
from tunery.kit.extras import require

__all__ = ["ControlTokens", "NoControlTokens", "control_tokens_of", "is_marked"]

_MARK = "\ufdd0"
"""A Unicode noncharacter: never part of interchanged text, no blank, and in no template."""


def is_marked(text: str) -> bool:
    """Tell whether a text, or what was rendered from it, spells a control token."""
    return _MARK in text


def control_tokens_of(tokenizer: Any) -> ControlTokens | NoControlTokens:
    """Return the control tokens of a tokenizer of transformers."""
    if tokenizer.is_fast:
        return ControlTokens(tokenizer.backend_tokenizer.to_str())
    return NoControlTokens(token.content for token in tokenizer.added_tokens_decoder.values() if token.special)


class ControlTokens:
    """The control tokens of one tokenizer: the added tokens that it declares special. One thread at a time may encode.

    Args:
        tokenizer_json: Content of its ``tokenizer.json``.
    """

    def __init__(self, tokenizer_json: str) -> None:
        self._json = tokenizer_json
        self._ids = {number for number, token in self._added() if token.special}
        spelled = {token.content for _, token in self._added() if token.special and token.content}
        self._starts = {text[:length] for text in spelled for length in range(1, len(text))}
        self._longest = max(map(len, spelled), default=0)
        after: dict[str, list[str]] = {}
        for text in sorted(spelled, key=len, reverse=True):
            after.setdefault(text[0], []).append(re.escape(text[1:]))
        self._spelled = re.compile(
            "|".join(f"{re.escape(first)}(?={'|'.join(rests)})" for first, rests in after.items()) or "(?!)"
        )
        self._normalized = any(token.normalized for _, token in self._added() if token.special)

    def mark(self, given: Any) -> Any:
        """Return a text, or lists and objects of texts, with every control token broken that a text spells.

        A role that is a plain word is left alone: it is the template's to write, also as a control token.
        """
        if isinstance(given, str):
            return self._mark(given)
        if isinstance(given, Mapping):
            return {
                key: value if key == "role" and str(value).isalpha() else self.mark(value)
                for key, value in given.items()
            }
        return [self.mark(value) for value in given] if isinstance(given, list | tuple) else given

    @cached_property
    def longest_token(self) -> int:
        """Characters of the longest token: a text has at least its length over this many tokens."""
        return max(map(len, self._core.get_vocab()), default=1)

    def encode(self, rendered: str) -> tuple[list[int], list[int]]:
        """Return the token ids of what was rendered from marked texts, and where each token begins in it."""
        encoding = _encoded(self._core, rendered)
        ids: list[int] = []
        starts: list[int] = []
        done = 0
        for number, (begin, end) in zip([*encoding.ids, None], [*encoding.offsets, (len(rendered),) * 2], strict=True):
            if number is None or number in self._ids:
                self._add_text(rendered[done:begin], done, ids, starts)
                if number is not None:
                    ids.append(number)
                    starts.append(begin)
                done = end
        return ids, starts

    def _add_text(self, text: str, offset: int, ids: list[int], starts: list[int]) -> None:
        """Encode what stands between two control tokens."""
        kept = [position for position, letter in enumerate(text) if letter != _MARK]
        encoding = self._read(text.replace(_MARK, ""), offset)
        if self._ids.isdisjoint(encoding[0]):
            ids += encoding[0]
            starts += [offset + kept[begin] for begin in encoding[1]]
            return
        # Some vocabularies hold a control token as a word too; its halves are none.
        for part in text.split(_MARK):
            found, begins = self._read(part, offset)
            ids += found
            starts += [offset + begin for begin in begins]
            offset += len(part) + 1

    def _read(self, text: str, offset: int) -> tuple[list[int], list[int]]:
        """Return ids and places of a text without marks that begins at an offset of the whole.

        A tokenizer may begin a whole text unlike what follows a control token (sentencepiece puts a space before it):
        a mark takes that token's place.
        """
        before = _MARK if offset else ""
        encoding = _encoded(self._plain, before + text)
        found = [
            (number, begin - len(before))
            for number, (begin, _) in zip(encoding.ids, encoding.offsets, strict=True)
            if number != self._mark_id
        ]
        return [number for number, _ in found], [begin for _, begin in found]

    def _mark(self, text: str) -> str:
        broken = self._broken(text)
        if self._normalized and self._core.normalizer is not None:
            folded = self._core.normalizer.normalize_str(text.replace(_MARK, ""))
            if is_marked(self._broken(folded)):
                return _MARK.join(text)
        return broken

    def _broken(self, text: str) -> str:
        written = text.rstrip()
        # A token that a text only begins may be completed by what the template writes after it.
        for begin in reversed(range(max(0, len(written) - self._longest), len(written))):
            if written[begin:] in self._starts:
                text = text[: begin + 1] + _MARK + text[begin + 1 :]
        return self._spelled.sub(lambda found: found[0] + _MARK, text)

    def _added(self) -> list[tuple[int, Any]]:
        return list(self._core.get_added_tokens_decoder().items())

    @cached_property
    def _core(self) -> Any:
        return self._open(plain=False)

    @cached_property
    def _plain(self) -> Any:
        return self._open(plain=True)

    @cached_property
    def _mark_id(self) -> int:
        return int(self._plain.token_to_id(_MARK))

    def _open(self, *, plain: bool) -> Any:
        tokenizers = require("tokenizers", "serve")
        core = tokenizers.Tokenizer.from_str(self._json)
        core.no_truncation()
        core.no_padding()
        core.encode_special_tokens = plain
        if plain:
            core.add_tokens([tokenizers.AddedToken(_MARK, normalized=False, special=False)])
        return core


class NoControlTokens:
    """For a tokenizer without a ``tokenizer.json``, which cannot read a control token as text: none may be spelled."""

    def __init__(self, spelled: Iterable[str]) -> None:
        self._spelled = [text for text in spelled if text]

    def mark(self, given: Any) -> Any:
        """Return what was given. Raises: InvalidInput: it spells a control token."""
        text = _joined(given)
        for token in self._spelled:
            if token in text:
                raise InvalidInput(f"the text spells {token!r}, which this model's tokenizer takes for a control token")
        return given

    def encode(self, rendered: str) -> tuple[list[int], list[int]]:
        """Refuse a text that holds the mark by itself."""
        raise InvalidInput(f"the text holds U+{ord(_MARK):04X}, which is no character")


def _encoded(core: Any, text: str) -> Any:
    """Encode one text as a batch: only so other threads go on meanwhile."""
    return core.encode_batch([text], add_special_tokens=False)[0]


def _joined(given: Any) -> str:
    if isinstance(given, str):
        return given
    if isinstance(given, Mapping):
        return "".join(_joined(value) for value in given.values())
    return "".join(map(_joined, given)) if isinstance(given, list | tuple) else ""
