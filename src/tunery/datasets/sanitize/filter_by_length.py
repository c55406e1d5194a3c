"""``filter_by_length``: take away rows that are too short or too long, in characters or in tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, model_validator

from tunery.datasets.rows import Row
from tunery.datasets.sanitize import SANITIZERS, SanitizeStep, Sources, Tally
from tunery.datasets.shapes import Shape, columns_of, texts_of
from tunery.errors import InvalidInput
from tunery.kit.digests import sha256_bytes
from tunery.kit.extras import require

__all__ = ["FilterByLength", "length_of"]


def length_of(value: Any) -> int:
    """Return the length of a column's value in characters: of a text, of all messages, of any other value's JSON."""
    return sum(map(len, texts_of(value)))


@SANITIZERS.register("filter_by_length")
class FilterByLength(SanitizeStep):
    """Take away rows that are too short or too long, in characters or in tokens of a model."""

    removes_rows: ClassVar[bool] = True
    row_local: ClassVar[bool] = True

    step: Literal["filter_by_length"] = Field("filter_by_length", description="Name of the step.")
    key: str | None = Field(None, description="Column to measure; none: all that a model would learn from.")
    min_len: int = Field(0, ge=0, description="Least length.")
    max_len: int | None = Field(None, ge=1, description="Greatest length.")
    unit: Literal["characters", "tokens"] = Field(
        "characters", description="What is counted. Tokens are those of the text, without a chat template's."
    )
    tokenizer: str | None = Field(
        None,
        min_length=1,
        max_length=300,
        description="Whose tokens: a model, as `model.base_model` names it, or an uploaded tokenizer.json as "
        "`file:DIGEST.json`.",
    )

    _tokenizer: bytes | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _has_a_bound(self) -> FilterByLength:
        if self.min_len == 0 and self.max_len is None:
            raise ValueError("give min_len, max_len or both")
        if self.max_len is not None and self.min_len > self.max_len:
            raise ValueError(f"min_len {self.min_len} is greater than max_len {self.max_len}")
        if (self.unit == "tokens") != (self.tokenizer is not None):
            raise ValueError("unit: tokens and tokenizer go together: say whose tokens are counted")
        return self

    def prepare(self, sources: Sources) -> FilterByLength:
        if self.tokenizer is None:
            return self
        ready = self.model_copy()
        ready._tokenizer = sources.tokenizer(self.tokenizer)
        return ready

    def apply(self, rows: Iterable[Row], shape: Shape, tally: Tally) -> Iterator[Row]:
        measure = length_of if self.tokenizer is None else self._token_counter(tally)
        for row in rows:
            values = row.values
            columns = columns_of(shape, values) if self.key is None else (self.key,)
            length = sum(measure(values.get(column)) for column in columns)
            if self.min_len <= length and (self.max_len is None or length <= self.max_len):
                yield row
            else:
                tally.count(row)

    def _token_counter(self, tally: Tally) -> Callable[[Any], int]:
        if self._tokenizer is None:
            raise InvalidInput(f"the tokenizer {self.tokenizer!r} is looked up by an import; here nothing can do that")
        tally.details["tokenizer_digest"] = sha256_bytes(self._tokenizer)
        try:
            tokenizer = _read_tokenizer(self._tokenizer)
        except ValueError as error:
            raise InvalidInput(f"{self.tokenizer!r} is no tokenizer.json that can be read: {error}") from error

        def count(value: Any) -> int:
            texts = [text.encode("utf-8", "replace").decode() for text in texts_of(value)]
            return sum(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts)

        return count

    def describe(self) -> str:
        bounds = f"at least {self.min_len}" if self.min_len else ""
        if self.max_len is not None:
            bounds += f"{' and ' if bounds else ''}at most {self.max_len}"
        of = f" (tokenizer {self.tokenizer})" if self.tokenizer else ""
        return f"Kept rows with {bounds} {self.unit}{of} in {self.key or 'what a model learns from'}"


@lru_cache(1)
def _read_tokenizer(data: bytes) -> Any:
    return require("tokenizers", "data").Tokenizer.from_buffer(data)
