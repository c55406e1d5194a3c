"""``filter_profanity``: take away rows with coarse words, by a small word list of our own (``profanity.json``)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from tunery.datasets.rows import Row
from tunery.datasets.sanitize import SANITIZERS, SanitizeStep, Tally, joined_text
from tunery.datasets.shapes import Shape
from tunery.datasets.words import words_of

__all__ = ["FilterProfanity"]


@cache
def _lists() -> dict[str, list[str]]:
    lists: dict[str, list[str]] = json.loads(Path(__file__).with_name("profanity.json").read_text(encoding="utf-8"))
    return lists


@SANITIZERS.register("filter_profanity")
class FilterProfanity(SanitizeStep):
    """Take away rows with coarse words: whole words of a short list in nine languages, and your own.

    A word list knows no context: it misses what is spelled otherwise, and hits quotations.
    """

    removes_rows: ClassVar[bool] = True
    row_local: ClassVar[bool] = True

    step: Literal["filter_profanity"] = Field("filter_profanity", description="Name of the step.")
    languages: list[str] = Field(
        default_factory=lambda: sorted(_lists()),
        description="Whose lists are used: de, en, es, fr, it, nl, pl, pt, ru.",
    )
    key: str | None = Field(None, description="Column to look at; none: all that a model would learn from.")
    words: list[str] = Field(default_factory=list, max_length=10_000, description="Further words to look for.")
    allow: list[str] = Field(default_factory=list, max_length=10_000, description="Words of the lists to let pass.")
    at_least: int = Field(1, ge=1, description="How many of them take a row away.")

    @field_validator("languages")
    @classmethod
    def _have_lists(cls, languages: list[str]) -> list[str]:
        if unknown := sorted(set(languages) - set(_lists())):
            raise ValueError(f"there is no list for {unknown[0][:40]!r}; there are {', '.join(sorted(_lists()))}")
        return languages

    def apply(self, rows: Iterable[Row], shape: Shape, tally: Tally) -> Iterator[Row]:
        listed = {word for language in self.languages for word in _lists()[language]} | set(
            map(str.casefold, self.words)
        )
        listed -= set(map(str.casefold, self.allow))
        for row in rows:
            words = words_of(joined_text(shape, row.values, self.key))
            if not listed.isdisjoint(words) and sum(word in listed for word in words) >= self.at_least:
                tally.count(row)
            else:
                yield row

    def describe(self) -> str:
        return f"Took away rows with coarse words (lists {', '.join(self.languages)})"
