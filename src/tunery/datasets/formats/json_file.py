"""``json``: an array of objects, or an object that holds one array of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from tunery.datasets.formats import IMPORTERS, Aside, Malformed, Record
from tunery.datasets.formats.lines import EXCERPT, excerpt, refuse_other_kinds
from tunery.datasets.formats.strict_json import JsonFault, StrictJson
from tunery.errors import FormatInvalid, TooLarge

__all__ = ["MAX_BYTES", "import_json"]

MAX_BYTES = 256 * 2**20
"""Largest file, in bytes: a JSON array has to be held in memory whole. JSONL has no such limit."""

_SPACE = re.compile(r"[ \t\r\n]*")


@IMPORTERS.register("json")
def import_json(file: BinaryIO, max_row_bytes: int) -> Iterator[Record | Malformed | Aside]:
    """Read the elements of the array; one that is no object, or has a fault within, is malformed by itself.

    What stands beside the array in an object is no row.

    Raises:
        TooLarge: The file has more than ``MAX_BYTES``.
        FormatInvalid: It holds no array of rows, or breaks JSON's syntax, after which nothing can be told.
    """
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise TooLarge(f"a JSON array may have {MAX_BYTES} bytes, for it is held in memory; convert it to JSONL")
    refuse_other_kinds(data)
    try:
        document = _Document(data.decode("utf-8-sig"), max_row_bytes)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatInvalid(f"line {line}: not UTF-8 (byte 0x{data[error.start]:02x}); convert the file") from error
    yield from document.rows()


class _Document:
    """A place in a text, moving on over JSON."""

    def __init__(self, text: str, max_row_bytes: int) -> None:
        self._text = text
        self._max_row_bytes = max_row_bytes
        self._reader = StrictJson()
        self._at = 0
        self._line, self._counted = 1, 0

    def rows(self) -> Iterator[Record | Malformed | Aside]:
        opening = self._peek()
        if opening == "[":
            yield from self._array()
        elif opening == "{":
            yield from self._object()
        else:
            raise FormatInvalid("a JSON file of rows begins with [ or {; for one object a line, name the format jsonl")
        if self._peek():
            raise self._broken("text follows after the end (one object a line? then name the format jsonl)")

    def _object(self) -> Iterator[Record | Malformed | Aside]:
        arrays: list[str] = []
        self._take("{")
        while self._peek() != "}":
            name = self._value()
            if not isinstance(name, str):
                raise self._broken("a key is missing")
            self._take(":")
            if self._peek() == "[":
                arrays.append(name)
                if len(arrays) > 1:
                    raise FormatInvalid(f"which array holds the rows, {arrays[0]!r} or {arrays[1]!r}? Keep only one")
                yield from self._array()
            else:
                yield Aside(self._line_number(), {name: self._value()})
            if self._peek() != "}":
                self._take(",")
        self._take("}")
        if not arrays:
            raise FormatInvalid("the file is one object without an array of rows; put the rows into an array")

    def _array(self) -> Iterator[Record | Malformed]:
        self._take("[")
        while self._peek() != "]":
            yield self._row()
            if self._peek() != "]":
                self._take(",")
                if self._peek() == "]":
                    raise self._broken("a comma stands before ]")
        self._take("]")

    def _row(self) -> Record | Malformed:
        line, start = self._line_number(), self._at
        try:
            value, self._at = self._reader.parse_at(self._text, start)
        except JsonFault as fault:
            if fault.end is None:
                raise self._broken(fault.reason) from fault
            self._at = fault.end
            return self._malformed(line, start, fault.reason)
        if self._at - start > self._max_row_bytes:
            return self._malformed(line, start, f"longer than {self._max_row_bytes} bytes")
        if not isinstance(value, dict):
            return self._malformed(line, start, "a row is an object {...}")
        return Record(line, value)

    def _malformed(self, line: int, start: int, reason: str) -> Malformed:
        return Malformed(line, reason, excerpt(self._text[start : min(self._at, start + EXCERPT)]))

    def _value(self) -> object:
        self._peek()
        try:
            value, self._at = self._reader.parse_at(self._text, self._at)
        except JsonFault as fault:
            raise self._broken(fault.reason) from fault
        return value

    def _peek(self) -> str:
        match = _SPACE.match(self._text, self._at)
        assert match is not None  # the pattern matches everywhere
        self._at = match.end()
        return self._text[self._at : self._at + 1]

    def _take(self, wanted: str) -> None:
        if self._peek() != wanted:
            raise self._broken(f"{wanted} is missing")
        self._at += 1

    def _line_number(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _broken(self, reason: str) -> FormatInvalid:
        return FormatInvalid(
            f"line {self._line_number()}: {reason}; past a fault of syntax a JSON array cannot be read. Correct it, or "
            "convert the file to JSONL, where such a row can be set aside"
        )
