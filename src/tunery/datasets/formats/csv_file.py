"""``csv`` and ``tsv``: a header line, then one row a record.

``csv`` is separated by comma, semicolon or tab, as its header is, or as a line ``sep=;`` above it says (spreadsheets
write such a line); ``tsv`` by tabs. Both quote as RFC 4180 has it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import BinaryIO

from tunery.datasets.formats import IMPORTERS, Malformed, Record
from tunery.datasets.formats.lines import EXCERPT, excerpt, read_lines, utf8_fault
from tunery.errors import FormatInvalid

__all__ = ["import_csv", "import_tsv"]

_SEPARATOR = re.compile(r'("?)sep=(\t|[^\w\s"])\1\s*', re.I)


@IMPORTERS.register("csv")
def import_csv(file: BinaryIO, max_row_bytes: int) -> Iterator[Record | Malformed]:
    """Read records with their header's names; every value is text, kept byte for byte. Source: RFC 4180.

    Raises:
        FormatInvalid: There is no header, or two of its columns have one name.
    """
    lines = _Lines(file, max_row_bytes)
    first = next(lines, "")
    if said := _SEPARATOR.fullmatch(first):
        yield from _records(lines, next(lines, ""), said[2], max_row_bytes)
    else:
        yield from _records(lines, first, max(",;\t", key=first.count), max_row_bytes)


@IMPORTERS.register("tsv")
def import_tsv(file: BinaryIO, max_row_bytes: int) -> Iterator[Record | Malformed]:
    """Read records separated by tabs; as ``csv`` otherwise."""
    lines = _Lines(file, max_row_bytes)
    yield from _records(lines, next(lines, ""), "\t", max_row_bytes)


def _records(lines: _Lines, first: str, delimiter: str, max_row_bytes: int) -> Iterator[Record | Malformed]:
    csv.field_size_limit(max_row_bytes)  # of the whole process; this is the only reader of CSV in it
    header = _header(first, delimiter, lines.last)
    lines.start_record()
    records = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        try:
            fields = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            yield lines.malformed(_reason(error))
        else:
            if lines.fault:
                yield lines.malformed(lines.fault)
            elif fields and len(fields) != len(header):
                yield lines.malformed(f"{len(fields)} fields, but the header has {len(header)}")
            elif fields:
                yield Record(lines.first, dict(zip(header, fields, strict=True)))
        lines.start_record()


def _header(text: str, delimiter: str, line: int) -> list[str]:
    if not text.strip():
        raise FormatInvalid("the file is empty, or its first line is; a CSV file begins with the names of its columns")
    try:
        names = next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise FormatInvalid(f"line {line}: {_reason(error)}") from error
    if nameless := sum(not name.strip() or not name.isprintable() for name in names):
        raise FormatInvalid(
            f"line {line}: {nameless} of {len(names)} columns have no readable name; the file must begin with the "
            "names of its columns: delete what stands above them, and name each"
        )
    if twice := [name for name in names if names.count(name) > 1]:
        raise FormatInvalid(f"line {line}: two columns are named {twice[0]!r}; rename one of them")
    return names


class _Lines(Iterator[str]):
    """Feeds the CSV reader and remembers which lines made up the record, for the report of a malformed one."""

    def __init__(self, file: BinaryIO, max_row_bytes: int) -> None:
        self._source = read_lines(file, max_row_bytes)
        self._max_row_bytes = max_row_bytes
        self.last = 0
        self.start_record()

    def start_record(self) -> None:
        self.first = self.last + 1
        self.taken: list[str] = []
        self.fault = ""

    def __next__(self) -> str:
        number, data, whole, quotes = next(self._source)
        self.last = number
        try:
            text = shown = data.decode("utf-8")
        except UnicodeDecodeError as error:
            text = shown = data.decode("utf-8", "replace")
            self.fault = f"line {number}: {utf8_fault(error)}"
        if not whole:
            self.fault = f"line {number} is longer than {self._max_row_bytes} bytes"
            text = '"\n' if quotes % 2 else "\n"  # opens or closes what the whole line does, so that the next is read
        if sum(map(len, self.taken)) < EXCERPT:
            self.taken.append(shown)
        return text

    def malformed(self, reason: str) -> Malformed:
        span = f" (the record goes on to line {self.last})" if self.last > self.first else ""
        return Malformed(self.first, reason + span, excerpt("".join(self.taken)))


def _reason(error: csv.Error) -> str:
    message = str(error)
    if "new-line character" in message:
        return "a line end stands alone as CR; convert the file's line ends to LF"
    if "unexpected end of data" in message:
        return "a quote that is opened here is never closed"
    if "field larger" in message:
        return "a field is longer than the limit; is a quote not closed?"
    return f"quotes are out of place ({message})"
