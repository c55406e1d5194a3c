"""Lines of a text file as bytes, each no longer than a limit; files that are no text are refused at the first look."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from tunery.datasets.formats.encodings import UNREADABLE
from tunery.errors import FormatInvalid

__all__ = ["EXCERPT", "Line", "excerpt", "read_lines", "refuse_other_kinds", "utf8_fault"]

EXCERPT = 1000
"""Characters of a malformed piece that are kept."""

_PIECE = 1 << 16
_OTHER_KINDS = (
    (codecs.BOM_UTF16_LE, "UTF-16 or UTF-32 text"),
    (codecs.BOM_UTF16_BE, "UTF-16 text"),
    (codecs.BOM_UTF32_BE, "UTF-32 text"),
    (b"\x1f\x8b", "a gzip file"),
    (b"PK\x03\x04", "a zip file (or a spreadsheet)"),
    (b"PAR1", "a Parquet file (name the format parquet)"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"%PDF-", "a PDF"),
)


class Line(NamedTuple):
    """A line of a file.

    Attributes:
        number: The first is 1.
        data: Its bytes with the line end; of a cut one the beginning.
        whole: Whether it was no longer than the limit.
        quotes: Number of double quotes in all of a cut one.
    """

    number: int
    data: bytes
    whole: bool
    quotes: int


def read_lines(file: BinaryIO, max_bytes: int) -> Iterator[Line]:
    """Yield the lines of a file. A longer one than ``max_bytes`` comes cut; its rest is passed over without being held.

    A byte order mark before the first line is taken away.

    Raises:
        FormatInvalid: The file begins like one that is no UTF-8 text.
    """
    number = 0
    while data := file.readline(max_bytes + 1):
        number += 1
        if number == 1:
            refuse_other_kinds(data)
            data = data.removeprefix(codecs.BOM_UTF8)
        if len(data) <= max_bytes:
            yield Line(number, data, True, 0)
            continue
        quotes, last = data.count(b'"'), data
        while last and not last.endswith(b"\n"):
            last = file.readline(_PIECE)
            quotes += last.count(b'"')
        yield Line(number, data[:EXCERPT], False, quotes)


def refuse_other_kinds(head: bytes) -> None:
    """Raise FormatInvalid if the first bytes of a file are those of something else than UTF-8 text."""
    for magic, kind in _OTHER_KINDS:
        if head.startswith(magic):
            raise FormatInvalid(f"this is {kind}, not UTF-8 text; convert or unpack it first")


def utf8_fault(error: UnicodeDecodeError) -> str:
    """Return the reason for a line whose bytes are not UTF-8."""
    if error.object.startswith(UNREADABLE, error.start):
        return f"bytes that are no text in the file's encoding (place {error.start + 1} of the line in UTF-8)"
    return (
        f"not UTF-8: byte 0x{error.object[error.start]:02x} at place {error.start + 1} of the line; "
        "declare the file's encoding (encoding: cp1252), or convert it"
    )


def excerpt(piece: bytes | str) -> str:
    """Return the beginning of a malformed piece as text that can be stored."""
    text = piece[: 4 * EXCERPT].decode("utf-8", "replace") if isinstance(piece, bytes) else piece
    return text[:EXCERPT].encode("utf-8", "replace").decode("utf-8").rstrip("\r\n")
