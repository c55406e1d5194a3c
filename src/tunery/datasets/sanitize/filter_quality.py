"""``filter_quality``: take away rows that look like rubbish, by the heuristics of Gopher and C4.

Source: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher", table A1 and
section A.1.1 (words, symbols, bullets, ellipses, repetition; their bounds are the defaults); Raffel et al. 2020,
"Exploring the Limits of Transfer Learning", section 2.2 (placeholder text, curly brackets).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import Field

from tunery.datasets.rows import Row
from tunery.datasets.sanitize import SANITIZERS, SanitizeStep, Tally, joined_text
from tunery.datasets.shapes import Shape
from tunery.datasets.words import is_unspaced, words_of

__all__ = ["FilterQuality"]

_BULLETS = ("-", "*", "•", "‣", "▪", "●", "◦", "–")
_ELLIPSES = ("...", "…")
_ENOUGH_LINES = 4


@SANITIZERS.register("filter_quality")
class FilterQuality(SanitizeStep):
    """Take away rows that look like rubbish: symbols for words, lists without sentences, repetition, placeholders.

    The bounds are those that Gopher and C4 were cleaned with, for web pages in languages with spaces. `none` turns a
    rule off. Texts of few words are judged by the number of their words and by placeholders only.
    """

    removes_rows: ClassVar[bool] = True
    row_local: ClassVar[bool] = True

    step: Literal["filter_quality"] = Field("filter_quality", description="Name of the step.")
    key: str | None = Field(None, description="Column to look at; none: all that a model would learn from.")
    min_words: int = Field(0, ge=0, description="Least number of words (Gopher: 50, for web pages).")
    max_words: int | None = Field(100_000, ge=1, description="Greatest number of words.")
    judged_from: int = Field(20, ge=2, description="Number of words from which the rules below count.")
    min_word_length: float | None = Field(3, ge=0, description="Least mean length of the words, in characters.")
    max_word_length: float | None = Field(10, ge=0, description="Greatest mean length of the words.")
    max_symbols: float | None = Field(0.1, ge=0, description="Most `#` and ellipses for a word.")
    max_bullet_lines: float | None = Field(
        0.9, ge=0, le=1, description="Largest share of lines that begin a list item."
    )
    max_ellipsis_lines: float | None = Field(0.3, ge=0, le=1, description="Largest share of lines that end in `...`.")
    min_alphabetic: float | None = Field(0.8, ge=0, le=1, description="Least share of words with a letter.")
    max_duplicate_lines: float | None = Field(0.3, ge=0, le=1, description="Largest share of lines said before.")
    max_top_ngrams: dict[int, float] = Field(
        default_factory=lambda: {2: 0.20, 3: 0.18, 4: 0.16},
        description="For runs of so many words: the largest share of the words that the commonest of them makes up.",
    )
    max_repeated_ngrams: dict[int, float] = Field(
        default_factory=lambda: {5: 0.15, 10: 0.10},
        description="For runs of so many words: the largest share of the words in runs that stand there twice or more.",
    )
    placeholders: list[str] = Field(
        default_factory=lambda: ["lorem ipsum"], max_length=1000, description="Phrases that take a row away."
    )
    curly_brackets: bool = Field(True, description="Whether `{` may stand in a row (C4: no, so it has no code).")

    def apply(self, rows: Iterable[Row], shape: Shape, tally: Tally) -> Iterator[Row]:
        for row in rows:
            fault = self._fault(joined_text(shape, row.values, self.key))
            if fault is None:
                yield row
            else:
                tally.count(row, fault)

    def describe(self) -> str:
        return "Took away rows that fail heuristics of quality (Gopher, C4)"

    def _fault(self, text: str) -> str | None:
        """Return the first rule that a text breaks."""
        words = words_of(text)
        folded = text.casefold()
        if any(phrase.casefold() in folded for phrase in self.placeholders):
            return "placeholders"
        if not self.curly_brackets and "{" in text:
            return "curly_brackets"
        if len(words) < self.min_words:
            return "min_words"
        if self.max_words is not None and len(words) > self.max_words:
            return "max_words"
        if len(words) < self.judged_from:
            return None
        return self._fault_of_words(text, words) or self._fault_of_lines(text) or self._fault_of_runs(words)

    def _fault_of_words(self, text: str, words: list[str]) -> str | None:
        spaced = [word for word in words if not is_unspaced(word)]
        if len(spaced) >= self.judged_from:
            length = sum(map(len, spaced)) / len(spaced)
            if self.min_word_length is not None and length < self.min_word_length:
                return "min_word_length"
            if self.max_word_length is not None and length > self.max_word_length:
                return "max_word_length"
        symbols = text.count("#") + sum(map(text.count, _ELLIPSES))
        if self.max_symbols is not None and symbols > self.max_symbols * len(words):
            return "max_symbols"
        alphabetic = sum(any(map(str.isalpha, word)) for word in words)
        if self.min_alphabetic is not None and alphabetic < self.min_alphabetic * len(words):
            return "min_alphabetic"
        return None

    def _fault_of_lines(self, text: str) -> str | None:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if len(lines) < _ENOUGH_LINES:
            return None
        shares = {
            "max_bullet_lines": (self.max_bullet_lines, sum(line.startswith(_BULLETS) for line in lines)),
            "max_ellipsis_lines": (self.max_ellipsis_lines, sum(line.endswith(_ELLIPSES) for line in lines)),
            "max_duplicate_lines": (self.max_duplicate_lines, len(lines) - len(set(lines))),
        }
        for rule, (bound, count) in shares.items():
            if bound is not None and count > bound * len(lines):
                return rule
        return None

    def _fault_of_runs(self, words: list[str]) -> str | None:
        for size, bound in self.max_top_ngrams.items():
            most = max(Counter(_runs(words, size)).values(), default=0)
            if most > 1 and most * size > bound * len(words):
                return "max_top_ngrams"
        for size, bound in self.max_repeated_ngrams.items():
            if _repeated(words, size) > bound * len(words):
                return "max_repeated_ngrams"
        return None


def _runs(words: list[str], size: int) -> Iterable[tuple[str, ...]]:
    if size == 2:
        return pairwise(words)
    return zip(*(words[start:] for start in range(size)), strict=False)


def _repeated(words: list[str], size: int) -> int:
    """Return how many words lie in runs that stand there twice or more; a word in several counts once."""
    runs = list(_runs(words, size))
    if len(set(runs)) == len(runs):
        return 0
    counts = Counter(runs)
    covered = end = 0
    for start, run in enumerate(runs):
        if counts[run] > 1:
            covered += start + size - max(start, end)
            end = start + size
    return covered
