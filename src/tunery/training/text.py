"""Rows as tokens, with a mask that says which tokens are learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tunery.errors import InvalidInput
from tunery.inference.control_tokens import control_tokens_of, is_marked
from tunery.kit.extras import require

__all__ = ["ChatText", "Tokens"]


@dataclass(frozen=True)
class Tokens:
    """Token ids of one sequence, and for each whether the model learns to produce it."""

    ids: list[int]
    learned: list[bool]


class ChatText:
    """Renders and tokenizes rows as the model will see them when it answers.

    Control tokens are what the chat template writes; one that a row spells is text.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._control = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
        self._control |= set(tokenizer.all_special_ids)
        self._outside = control_tokens_of(tokenizer)
        empty = tokenizer("").input_ids
        self._begin = [tokenizer.bos_token_id] if empty[:1] == [tokenizer.bos_token_id] else []

    @classmethod
    def load(cls, model_dir: Path) -> ChatText:
        """Open the tokenizer of a model folder. Raises: MissingExtra: transformers is not installed."""
        transformers = require("transformers", "train")
        return cls(
            transformers.AutoTokenizer.from_pretrained(model_dir, local_files_only=True, trust_remote_code=False)
        )

    @property
    def has_template(self) -> bool:
        """Whether the tokenizer knows how to write a chat."""
        return bool(self.tokenizer.chat_template)

    def chat(self, messages: Sequence[Mapping[str, Any]]) -> Tokens:
        """Tokenize a chat; every assistant turn is learned, with the token that ends it.

        Raises: InvalidInput: no chat template, or one that rewrites earlier turns, so that no exact mask exists.
        """
        if not self.has_template:
            raise InvalidInput(
                "the base model has no chat template; use rows of prompt and completion, or of text, or add one to its "
                "tokenizer"
            )
        if "{% generation" in self.tokenizer.chat_template or "{%- generation" in self.tokenizer.chat_template:
            return self._marked(messages)
        marked = [self._outside.mark(dict(message)) for message in messages]
        whole = self._render(marked)
        return self._end(self._split(whole, self._spans(marked, whole)))

    def completion(self, prompt: str, completion: str) -> Tokens:
        """Tokenize a prompt and its completion: as a chat of two turns where there is a template, else one by one."""
        if self.has_template:
            return self.chat([{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}])
        asked, answer = self._begin + self._ids(self._outside.mark(prompt)), self._ids(self._outside.mark(completion))
        return self._end(Tokens(asked + answer, [False] * len(asked) + [True] * len(answer)))

    def plain(self, text: str) -> Tokens:
        """Tokenize a text of which every token is learned."""
        ids = self._begin + self._ids(self._outside.mark(text))
        return self._end(Tokens(ids, [True] * len(ids)))

    def _render(self, messages: Sequence[Mapping[str, Any]], ask: bool = False) -> str:
        from jinja2.exceptions import TemplateError

        try:
            rendered = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=ask)
        except TemplateError as refusal:
            raise InvalidInput(f"the base model's chat template refuses these messages: {refusal}") from refusal
        return str(rendered)

    def _spans(self, messages: Sequence[Mapping[str, Any]], whole: str) -> list[tuple[int, int]]:
        """Find where each assistant turn begins and ends, by rendering the chat up to there."""
        spans = []
        for number, message in enumerate(messages):
            if message["role"] == "assistant":
                before, after = self._render(messages[:number], ask=True), self._render(messages[: number + 1])
                if not (whole.startswith(after) and after.startswith(before)):
                    raise InvalidInput(
                        f"the base model's chat template rewrites what stands before message {number + 1}, so what the "
                        "assistant said cannot be told exactly; use rows with one answer, or a template with "
                        "{% generation %} marks"
                    )
                spans.append((len(before), len(after)))
        return spans

    def _split(self, whole: str, spans: list[tuple[int, int]]) -> Tokens:
        if self.tokenizer.is_fast:
            ids, starts = self._ids_and_starts(whole)
            borders = {*starts, len(whole)}
            if all(begin in borders and end in borders for begin, end in spans):
                return self._without_tails(Tokens(ids, _inside(spans, starts)))
        # A token that reaches over a border belongs to neither side: tokenize each side alone, as when answering.
        ids, learned = [], []
        cuts = [0, *(cut for span in spans for cut in span), len(whole)]
        for number, (begin, end) in enumerate(pairwise(cuts)):
            piece = self._ids(whole[begin:end]) if begin < end else []
            ids += piece
            learned += [number % 2 == 1] * len(piece)
        return self._without_tails(Tokens(ids, learned))

    def _without_tails(self, tokens: Tokens) -> Tokens:
        """Take the blanks that a template writes after the end-of-turn token out of what is learned."""
        learned = list(tokens.learned)
        for position in range(len(learned)):
            last = position + 1 == len(learned) or not tokens.learned[position + 1]
            if learned[position] and last:
                tail = position
                while tail > 0 and tokens.learned[tail - 1] and not self.tokenizer.decode([tokens.ids[tail]]).strip():
                    tail -= 1
                if tail < position and tokens.ids[tail] in self._control:
                    learned[tail + 1 : position + 1] = [False] * (position - tail)
        return Tokens(tokens.ids, learned)

    def _marked(self, messages: Sequence[Mapping[str, Any]]) -> Tokens:
        marked = self._outside.mark([dict(message) for message in messages])
        if is_marked(self._render(marked)):
            return self._end(self._marked_apart(marked))
        encoded = self.tokenizer.apply_chat_template(
            list(messages), tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        return self._end(Tokens(list(encoded["input_ids"]), [bool(mark) for mark in encoded["assistant_masks"]]))

    def _marked_apart(self, messages: list[dict[str, Any]]) -> Tokens:
        from transformers.utils.chat_template_utils import render_jinja_template

        # Its annotation says str; with the mask it returns the texts and the spans.
        rendered: Any = render_jinja_template(
            [messages],
            chat_template=self.tokenizer.chat_template,
            return_assistant_tokens_mask=True,
            **self.tokenizer.special_tokens_map,
        )
        (whole,), (spans,) = rendered
        ids, starts = self._ids_and_starts(whole)
        return Tokens(ids, _inside(spans, starts))

    def _end(self, tokens: Tokens) -> Tokens:
        """Cut what stands after the last learned token, and see to it that a control token says that all is said."""
        count = max((position + 1 for position, learned in enumerate(tokens.learned) if learned), default=0)
        ids, learned = tokens.ids[:count], tokens.learned[:count]
        if ids and ids[-1] not in self._control and self.tokenizer.eos_token_id is not None:
            return Tokens([*ids, self.tokenizer.eos_token_id], [*learned, True])
        return Tokens(ids, learned)

    def _ids(self, text: str) -> list[int]:
        if is_marked(text):
            return self._outside.encode(text)[0]
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def _ids_and_starts(self, text: str) -> tuple[list[int], list[int]]:
        if is_marked(text):
            return self._outside.encode(text)
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return list(encoded.input_ids), [start for start, _ in encoded.offset_mapping]


def _inside(spans: Sequence[tuple[int, int]], starts: Sequence[int]) -> list[bool]:
    return [any(begin <= start < end for begin, end in spans) for start in starts]
