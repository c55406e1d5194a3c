"""JSON as RFC 8259 has it, where Python's own reader lets more pass.

Python's ``json`` takes NaN, keeps the last of two equal keys, turns ``1e999`` into infinity, lets lone surrogates
through, cuts numbers to what a double holds, and fails on deep nesting and long integers with errors of other kinds.
Here each is a fault with a reason.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

__all__ = ["MAX_DEPTH", "JsonFault", "StrictJson"]

MAX_DEPTH = 64
"""Deepest nesting of arrays and objects that is read."""

_MAX_DIGITS = 300
_MOST_OF_A_DOUBLE = 767
"""Digits of the longest double, written out to its end."""
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*')
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class JsonFault(ValueError):
    """A text that is not valid JSON.

    Attributes:
        reason: What is wrong.
        end: Where the value ends, when only its content is at fault; None when the syntax is, and nobody can tell.
    """

    def __init__(self, reason: str, end: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.end = end


class StrictJson:
    """A reader of JSON values; keep one for a file."""

    def __init__(self) -> None:
        self._faults: list[str] = []
        self._changed: list[str] = []
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._object, parse_constant=self._constant, parse_float=self._float, parse_int=self._int
        )

    def parse(self, text: str) -> Any:
        """Return the one value of the text. Raises: JsonFault."""
        start = len(text) - len(text.lstrip(" \t\r\n"))
        value, end = self.parse_at(text, start)
        if rest := text[end:].strip(" \t\r\n"):
            lone = " (lines that end in CR alone? convert them to LF)" if "\r" in text[end:] else ""
            raise JsonFault(f"the value ends at column {end + 1}, but {len(rest)} more characters follow{lone}")
        return value

    def parse_at(self, text: str, start: int) -> tuple[Any, int]:
        """Return the value that begins at ``start`` and the place after it. Raises: JsonFault."""
        self._faults.clear()
        self._changed.clear()
        try:
            value, end = self._decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            line_start = text.rfind("\n", 0, error.pos) + 1
            raise JsonFault(f"{_lower(error.msg)} at column {error.pos - line_start + 1}") from error
        except RecursionError as error:
            raise JsonFault(f"nested deeper than {MAX_DEPTH} levels") from error
        # Most texts have neither, and a look at the text is cheaper than a walk over the value.
        if _SURROGATE.search(text, start, end) and _has_lone_surrogate(value):
            self._faults.append("a \\u escape is half of a surrogate pair, which is no character")
        openings = text.count("[", start, end) + text.count("{", start, end)
        if openings > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
            self._faults.append(f"nested deeper than {MAX_DEPTH} levels")
        if self._changed:
            self._faults.append(_where(self._changed[0], text, start, end))
        if self._faults:
            raise JsonFault("; ".join(dict.fromkeys(self._faults[:5])), end)
        return value, end

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            seen: set[str] = set()
            for number, (key, _) in enumerate(pairs, start=1):
                if key in seen:
                    self._faults.append(f"key number {number} of an object stands in it already")
                seen.add(key)
        return value

    def _constant(self, name: str) -> None:
        self._faults.append(f"{name} is no JSON number")

    def _float(self, text: str) -> float:
        value = float(text)
        if (len(text) < 19 or len(text.lstrip("-0.")) < 18) and 1e-300 < abs(value) < math.inf:
            return value  # it has 17 digits at most, by which any double is told
        if math.isinf(value):
            self._faults.append("a number is too large")
        elif not _is_held(text, value):
            self._changed.append(text)
        return value

    def _int(self, text: str) -> int:
        if len(text) > _MAX_DIGITS:
            self._faults.append(f"an integer has {len(text)} digits, more than {_MAX_DIGITS}")
            return 0
        return int(text)


def _is_held(text: str, value: float) -> bool:
    """Tell whether a double says what its text does: all of the digits, or 17, by which any double is told."""
    digits = re.split("[eE]", text)[0].replace(".", "").lstrip("-0").rstrip("0")
    if not (digits and value):
        return not digits
    if len(digits) <= 17 and abs(value) > 1e-300:
        return True
    return len(digits) <= _MOST_OF_A_DOUBLE and Decimal(f"{value:.{len(digits)}g}") == Decimal(text)


def _where(number: str, text: str, start: int, end: int) -> str:
    """Return the fault of a number that a double does not hold."""
    at = next((found.start() for found in _TOKEN.finditer(text, start, end) if found[0] == number), start)
    what = "has more digits than a double holds, which are 17" if abs(float(number)) > 1e-300 else "is too near 0"
    return f"the number at column {at - text.rfind(chr(10), 0, at)} {what}; round it, or write it as text"


def _lower(message: str) -> str:
    """Return a message of Python's reader as a part of a sentence; some of them end in "at" already."""
    return (message[:1].lower() + message[1:]).removesuffix(" at")


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _deeper_than(value: Any, limit: int) -> bool:
    level, depth = [value], 0
    while level := [child for node in level for child in _children(node) if isinstance(child, (dict, list))]:
        depth += 1
        if depth >= limit:
            return True
    return False


def _has_lone_surrogate(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    except RecursionError:
        return False
    return False
