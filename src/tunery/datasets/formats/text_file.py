"""``text``: a row for each paragraph. Paragraphs are parted by blank lines, as in Project Gutenberg's books."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from tunery.datasets.formats import IMPORTERS, Malformed, Record
from tunery.datasets.formats.lines import excerpt, read_lines, utf8_fault

__all__ = ["import_text"]


@IMPORTERS.register("text")
def import_text(file: BinaryIO, max_row_bytes: int) -> Iterator[Record | Malformed]:
    """Read paragraphs as rows with the column ``text``; their lines stay parted by a line feed, their words untouched.

    A text with one row a line and no blank lines is one paragraph: give it the ending ``.csv`` and a header ``text``.
    """
    paragraph = _Paragraph(max_row_bytes)
    for number, data, whole, _ in read_lines(file, max_row_bytes):
        if whole and (not data or data.isspace()):
            yield from paragraph.end()
            paragraph = _Paragraph(max_row_bytes)
        else:
            paragraph.add(number, data, whole)
    yield from paragraph.end()


class _Paragraph:
    """Lines up to the next blank one; no more of them is held than a row may have."""

    def __init__(self, max_row_bytes: int) -> None:
        self._max_row_bytes = max_row_bytes
        self._first = 0
        self._data = bytearray()
        self._whole = True

    def add(self, number: int, data: bytes, whole: bool) -> None:
        self._first = self._first or number
        self._whole = self._whole and whole and len(self._data) + len(data) <= self._max_row_bytes
        if self._whole:
            self._data += data
        else:
            self._data = self._data or bytearray(data)

    def end(self) -> Iterator[Record | Malformed]:
        if not self._data:
            return
        if not self._whole:
            reason = f"a paragraph longer than {self._max_row_bytes} bytes; are there no blank lines?"
            yield Malformed(self._first, reason, excerpt(bytes(self._data)))
            return
        try:
            text = bytes(self._data).decode("utf-8")
        except UnicodeDecodeError as error:
            yield Malformed(self._first, utf8_fault(error), excerpt(bytes(self._data)))
        else:
            if "\0" in text:
                yield Malformed(self._first, "a NUL character: this is no text", excerpt(bytes(self._data)))
            else:
                yield Record(self._first, {"text": text.replace("\r\n", "\n").strip("\r\n")})
