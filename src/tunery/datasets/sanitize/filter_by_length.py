"""``filter_by_length``: take away rows that are too short or too long, in characters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from tunery.datasets.rows import Row
from tunery.datasets.sanitize import SANITIZERS, SanitizeStep, Tally
from tunery.datasets.shapes import SHAPES, Shape, texts_of

__all__ = ["FilterByLength", "length_of"]


def length_of(value: Any) -> int:
    """Return the length of a column's value in characters: of a text, of all messages, of any other value's JSON."""
    return sum(map(len, texts_of(value)))


@SANITIZERS.register("filter_by_length")
class FilterByLength(SanitizeStep):
    """Take away rows that are too short or too long. Lengths are characters, not tokens."""

    removes_rows: ClassVar[bool] = True

    step: Literal["filter_by_length"] = Field("filter_by_length", description="Name of the step.")
    key: str | None = Field(None, description="Column to measure; none: all that a model would learn from.")
    min_len: int = Field(0, ge=0, description="Least length in characters.")
    max_len: int | None = Field(None, ge=1, description="Greatest length in characters.")

    @model_validator(mode="after")
    def _has_a_bound(self) -> FilterByLength:
        if self.min_len == 0 and self.max_len is None:
            raise ValueError("give min_len, max_len or both")
        if self.max_len is not None and self.min_len > self.max_len:
            raise ValueError(f"min_len {self.min_len} is greater than max_len {self.max_len}")
        return self

    def apply(self, rows: Iterable[Row], shape: Shape, tally: Tally) -> Iterator[Row]:
        columns = SHAPES[shape] if self.key is None else (self.key,)
        for row in rows:
            length = sum(length_of(row.values.get(column)) for column in columns)
            if self.min_len <= length and (self.max_len is None or length <= self.max_len):
                yield row
            else:
                tally.count(row)

    def describe(self) -> str:
        bounds = f"at least {self.min_len}" if self.min_len else ""
        if self.max_len is not None:
            bounds += f"{' and ' if bounds else ''}at most {self.max_len}"
        return f"Kept rows with {bounds} characters in {self.key or 'what a model learns from'}"
