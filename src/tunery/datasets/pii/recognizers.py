"""What layer 1 knows of one kind of number: form, check rule, context."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tunery.datasets.pii import Finding

__all__ = [
    "LIKE_A_NUMBER",
    "REPORTED",
    "THOROUGH",
    "Recognizer",
    "any_of",
    "as_words",
    "compact",
    "grouped",
    "in_context",
]

REPORTED, THOROUGH = 0.5, 0.3
"""Least confidence that is reported: usually, and where rather too much is to be found than too little."""

_CONFIDENT = 0.95
_BEFORE, _AFTER = 64, 20
_OPEN = r"(?<![0-9A-Za-z_])(?<![0-9][-./])"
_CLOSE = r"(?![0-9A-Za-z_])(?![-./][0-9])"
_SEPARATORS = str.maketrans("", "", " -./()")
LIKE_A_NUMBER = re.compile(r"[0-9A-Z](?<![0-9A-Za-z_].)(?<![0-9][-./].)(?:[ ./+-]?[0-9A-Z]){8}", re.ASCII)
"""Every number of a ``Recognizer`` begins like this; quicker to look for than any of them."""

_PLACEHOLDER = re.compile(r"\[[a-z][a-z0-9_]*(?::[a-z]+)?\]")

Rule = Callable[[str], bool]


def compact(text: str) -> str:
    """Return a number without its separators, in upper case."""
    return text.translate(_SEPARATORS).upper()


def in_context(context: re.Pattern[str], text: str, start: int, end: int) -> bool:
    """Tell whether one of the lower-case words stands shortly before or after a stretch; placeholders do not count."""
    around = f"{text[max(0, start - _BEFORE) : start]} \n {text[end : end + _AFTER]}".lower()
    if "[" in around:
        around = _PLACEHOLDER.sub(" ", around)
    return context.search(around) is not None


def as_words(pattern: str) -> re.Pattern[str]:
    """Compile lower-case words that stand by themselves."""
    return re.compile(rf"(?<![^\W_])(?:{pattern})(?![^\W_])")


@dataclass(frozen=True)
class Recognizer:
    """One kind of number.

    Attributes:
        kind: What it is.
        pattern: Its form, in ASCII; boundaries are added.
        rule: Whether the number without separators keeps the issuer's rules; none: the form is all there is.
        confidence: Confidence without context.
        context: Words, as a pattern, one of which must stand near it for full confidence; none: it speaks for itself.
        formatted: Confidence where it is written with separators; none: the same.
    """

    kind: str
    pattern: str
    rule: Rule | None
    confidence: float
    context: str = ""
    formatted: float | None = None
    regex: re.Pattern[str] = field(init=False, repr=False)
    words: re.Pattern[str] | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "regex", re.compile(_OPEN + f"(?:{self.pattern})" + _CLOSE, re.ASCII))
        object.__setattr__(self, "words", as_words(self.context) if self.context else None)

    def find(self, text: str, start: int, end: int, least: float = REPORTED) -> Iterator[Finding]:
        """Yield what is found in a stretch of a folded text; its surroundings are read too."""
        for match in self.regex.finditer(text, start, end):
            found = match[0]
            number = compact(found)
            if self.rule is not None and not self.rule(number):
                continue
            confidence = self.confidence if self.formatted is None or len(number) == len(found) else self.formatted
            if self.words is not None and in_context(self.words, text, match.start(), match.end()):
                confidence = _CONFIDENT
            if confidence >= least:
                yield Finding(self.kind, match.start(), match.end(), confidence)


def any_of(recognizers: Iterable[Recognizer]) -> re.Pattern[str]:
    """Return one pattern that stands wherever one of theirs does, to look for all of them at once."""
    patterns = "|".join(each.pattern.replace("([ -])", "[ -]").replace(r"\1", "[ -]") for each in recognizers)
    return re.compile(f"{_OPEN}(?:{patterns})", re.ASCII)


def grouped(
    kind: str, form: str, rule: Rule | None, confidence: float, context: str, formatted: float | None = None
) -> Recognizer:
    """Return the recognizer of a number of digits, in groups such as ``3-2-4`` or without separators."""
    groups = [rf"[0-9]{{{length}}}" for length in re.split(r"\D", form)]
    plain = "".join(groups)
    if set(form) & set("./"):
        spaced = "".join(part if index % 2 == 0 else re.escape(part) for index, part in enumerate(_parts(form)))
    else:
        spaced = groups[0] + "([ -])" + r"\1".join(groups[1:])
    return Recognizer(kind, f"{spaced}|{plain}" if len(groups) > 1 else plain, rule, confidence, context, formatted)


def _parts(form: str) -> list[str]:
    return [rf"[0-9]{{{part}}}" if part.isdigit() else part for part in re.split(r"(\D)", form)]
