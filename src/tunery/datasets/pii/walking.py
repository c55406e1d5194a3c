"""Every text of a row, with the name of the field that holds it: one way for those that replace and those that note."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from tunery.datasets.pii import Detector, Finding

__all__ = ["Visit", "findings_in", "rewritten"]

Visit = Callable[[str, str, str], str]
"""Given a text, the name of its field, and its path; returns what is to stand there."""

_LABELLED = 200
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LEAST_NUMBER, _MOST_NUMBER, _MOST_FLOAT = 10_000, 10**40, 2.0**53
"""Shorter numbers name nobody; a larger float has not the digits that it was made of."""


def rewritten(value: Any, visit: Visit, label: str = "", path: str = "", *, every: bool = False) -> Any:
    """Return JSON values with every text at any depth as ``visit`` would have it, names of nested fields too.

    Whole numbers are visited as texts, though they be floats (a column of whole numbers with a gap becomes floats in
    many tools) or such floats written as text; they stay what they were where nothing is to change.

    Args:
        visit: Sees each text.
        label: The name of the field that holds the values.
        path: Where they stand.
        every: Whether every number is visited, which may be an age or a place, not only what may name somebody.
    """
    if isinstance(value, str):
        if value[-2:] != ".0" or not value[:-2].isdigit():
            return visit(value, label, path)
        return value if (new := visit(value[:-2], label, path)) == value[:-2] else new
    if isinstance(value, dict):
        return _object(value, visit, path, every)
    if isinstance(value, list):
        return [rewritten(item, visit, label, f"{path}[{place}]", every=every) for place, item in enumerate(value)]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _MOST_NUMBER:
        return value
    number = int(value) if isinstance(value, float) and abs(value) <= _MOST_FLOAT and value.is_integer() else value
    if not every and (isinstance(number, float) or abs(number) < _LEAST_NUMBER):
        return value
    text = str(number)
    return value if (new := visit(text, label, path)) == text else new


def findings_in(text: str, label: str, detectors: Iterable[Detector]) -> list[Finding]:
    """Return what detectors find in a text, overlaps included; the name of its field tells what a number is."""
    if not label or len(text) > _LABELLED:
        return [each for detector in detectors for each in detector.find(text)]
    lead = f"{_words(label)}: "
    found = [each for detector in detectors for each in detector.find(lead + text)]
    if not found:
        return found
    shift = len(lead)
    return [
        Finding(each.kind, max(0, each.start - shift), each.end - shift, each.confidence)
        for each in found
        if each.end > shift
    ]


def _object(value: dict[str, Any], visit: Visit, path: str, every: bool) -> dict[str, Any]:
    done: dict[str, Any] = {}
    for name, item in value.items():
        new = visit(name, "", f"{path}.<name>")
        copy = 2
        while new in done:
            new, copy = f"{new.partition('#')[0]}#{copy}", copy + 1
        done[new] = rewritten(item, visit, name, f"{path}.{new}", every=every)
    return done


@lru_cache(4096)
def _words(label: str) -> str:
    return _CAMEL.sub(" ", label[:80])
