"""File formats as plug-ins: each file here registers one importer. How to add one: ADDING.md beside it.

An importer reads an open binary file and yields, in order, a ``Record`` for each row and a ``Malformed`` for each
piece that is not one, so that nothing is dropped and one rule (``tunery.datasets.quarantine``) decides what happens
to it; an ``Aside`` is what is meant to be none. It holds no more than one row in memory and raises only where the
rest of a file cannot be read at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from tunery.errors import FormatInvalid
from tunery.plugins import Registry

__all__ = ["IMPORTERS", "Aside", "Importer", "Malformed", "Record", "guess_format"]


class Record(NamedTuple):
    """A row as it stands in the file, and the line it begins on (the first is 1)."""

    line: int
    values: dict[str, Any]


class Malformed(NamedTuple):
    """A piece of the file that is no row: the line it begins on, why, and its text (at most ``EXCERPT`` characters)."""

    line: int
    reason: str
    text: str


class Aside(NamedTuple):
    """What stands in the file beside the rows, by its name, such as who made it: people in it are found again."""

    line: int
    values: dict[str, Any]


Importer: TypeAlias = Callable[[BinaryIO, int], Iterator[Record | Malformed | Aside]]
"""``importer(file, max_row_bytes)``. Raises: FormatInvalid: the file is of another kind, or broken as a whole."""

IMPORTERS: Registry[Importer] = Registry(
    "importer",
    tuple(
        f"{__name__}.{module}"
        for module in ("jsonl", "json_file", "csv_file", "parquet_file", "markdown_file", "text_file")
    ),
)
"""Every known file format by name; a package adds its own by an entry point in the group ``tunery.importer``."""

_ENDINGS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
}


def guess_format(name: str) -> str:
    """Return the format that a file's name tells. Raises: FormatInvalid: the ending is not known."""
    ending = PurePath(name).suffix.lower()
    if ending not in _ENDINGS:
        known = ", ".join(sorted(_ENDINGS))
        raise FormatInvalid(f"the format of {name!r} cannot be told from its ending; name it, or end it in {known}")
    return _ENDINGS[ending]
