"""What happens to a row that cannot be used: the import stops and names it, or sets it aside, counted, with reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

from tunery.datasets.formats import IMPORTERS, Aside, Malformed, Record
from tunery.datasets.formats.encodings import as_utf8
from tunery.datasets.formats.lines import excerpt
from tunery.errors import RowInvalid
from tunery.kit.digests import canonical_json

__all__ = ["OnError", "Quarantine", "RowFault", "read_records"]

OnError = Literal["stop", "quarantine"]


class RowFault(ValueError):
    """A row that was read but cannot be used; the text is the reason. It carries no value of the row: it is kept."""


class Quarantine:
    """Rows set aside, written as JSON lines ``{"line", "reason", "text"}``.

    Attributes:
        place: What the file counts them by: ``line``, or ``row`` where it has no lines.
        count: How many there are.
        first: The first few, to be shown.
        on_refused: Looks at each, and says what is kept of it.
        on_aside: Looks at what stands beside the rows.
    """

    SHOWN = 10

    def __init__(self, on_error: OnError, file: BinaryIO | None = None) -> None:
        self.on_refused: Callable[[Malformed], Malformed] = lambda row: row
        self.on_aside: Callable[[Aside], None] = lambda aside: None
        self._on_error = on_error
        self._file = file
        self.place = "line"
        self.count = 0
        self.first: list[Malformed] = []

    def refuse(self, row: Malformed) -> None:
        """Set the row aside. Raises: RowInvalid: the policy is to stop."""
        if self._on_error == "stop":
            raise RowInvalid(
                f"{self.place} {row.line}: {row.reason}. Nothing was imported. Correct the {self.place}, or import "
                "with on_error: quarantine (--on-error quarantine) to set such rows aside",
                line=row.line,
                reason=row.reason,
            )
        row = self.on_refused(row)
        self.count += 1
        if self.count <= self.SHOWN:
            self.first.append(row)
        if self._file is not None:
            self._file.write(canonical_json({"line": row.line, "reason": row.reason, "text": row.text}) + b"\n")

    def refuse_record(self, record: Record, fault: RowFault) -> None:
        """Set a row aside that was read well but cannot be used."""
        self.refuse(Malformed(record.line, str(fault), excerpt(_text(record.values))))


def read_records(
    path: Path, format_name: str, max_row_bytes: int, quarantine: Quarantine, encoding: str | None = None
) -> Iterator[Record]:
    """Yield the rows of a file in order; what is no row goes to the quarantine.

    Raises:
        NotFound: No importer of that name. FormatInvalid: the file is of another kind. RowInvalid: see Quarantine.
    """
    importer = IMPORTERS.get(format_name)
    quarantine.place = "row" if format_name == "parquet" else "line"
    with path.open("rb") as file:
        for found in importer(as_utf8(file, encoding), max_row_bytes):
            if isinstance(found, Malformed):
                quarantine.refuse(found)
            elif isinstance(found, Aside):
                quarantine.on_aside(found)
            else:
                yield found


def _text(values: dict[str, Any]) -> str:
    return canonical_json(values).decode()
