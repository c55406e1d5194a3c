"""``jsonl``: one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from tunery.datasets.formats import IMPORTERS, Malformed, Record
from tunery.datasets.formats.lines import excerpt, read_lines, utf8_fault
from tunery.datasets.formats.strict_json import JsonFault, StrictJson

__all__ = ["import_jsonl"]


@IMPORTERS.register("jsonl")
def import_jsonl(file: BinaryIO, max_row_bytes: int) -> Iterator[Record | Malformed]:
    """Read one object a line; lines of white space are no rows. Source: jsonlines.org."""
    reader = StrictJson()
    for number, line, whole, _ in read_lines(file, max_row_bytes):
        if not whole:
            yield Malformed(number, f"longer than {max_row_bytes} bytes", excerpt(line))
            continue
        if line.isspace():
            continue
        try:
            value = reader.parse(line.decode("utf-8").rstrip("\r\n"))
        except UnicodeDecodeError as error:
            yield Malformed(number, utf8_fault(error), excerpt(line))
        except JsonFault as fault:
            yield Malformed(number, fault.reason, excerpt(line))
        else:
            if isinstance(value, dict):
                yield Record(number, value)
            else:
                yield Malformed(number, f"a row is an object {{...}}, not {_kind(value)}", excerpt(line))


def _kind(value: object) -> str:
    kinds = {
        "list": "an array (is the whole file one array? Its format is json)",
        "str": "a text",
        "NoneType": "null",
        "bool": "true or false",
    }
    return kinds.get(type(value).__name__, "a number")
