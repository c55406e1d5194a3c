"""From a file to a version: read, name, shape, sanitise, split, write.

The rows pass twice: first from the source file into a staging file, for the split can only be told when all rows are
known; then from there into the version. Only ids, splits and what the split compares are held in memory. Nothing is
visible before the table's commit; a repeated build finds that commit, or starts anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

from tunery.datasets.delta import Written, write_version
from tunery.datasets.formats import Record
from tunery.datasets.quarantine import Quarantine, RowFault, read_records
from tunery.datasets.rows import Row, RowIds
from tunery.datasets.sanitize import PreprocessingStep, Sanitation, Sources
from tunery.datasets.schemas import ImportOptions
from tunery.datasets.shapes import Shape, Shaper
from tunery.datasets.splits import SplitReport, split_rows
from tunery.datasets.staging import stage_rows
from tunery.errors import InvalidInput

__all__ = ["Built", "Watch", "build_version"]

Item = TypeVar("Item")
Watch = Callable[[str, int], None]
"""Told now and then the stage (``read``, ``split``, ``write``) and the rows done in it; may raise to end the build."""

_WATCH_EVERY = 1000


@dataclass(frozen=True)
class Built:
    """A version as it was made.

    Attributes:
        written: Where its rows are, their digest and counts.
        shape: The shape of its rows.
        columns: The column map of most rows, as a recipe writes it.
        read: Rows that were read and shaped, before sanitising.
        quarantined: Rows set aside.
        steps: What each sanitising step did.
        split: How the rows were dealt out.
    """

    written: Written
    shape: Shape
    columns: dict[str, str | list[str]]
    read: int
    quarantined: int
    steps: list[PreprocessingStep]
    split: SplitReport


def build_version(
    source: Path,
    format_name: str,
    options: ImportOptions,
    *,
    table: Path,
    import_id: str,
    scratch: Path,
    quarantine: Quarantine,
    max_row_bytes: int,
    watch: Watch = lambda stage, rows: None,
    sources: Sources | None = None,
) -> Built:
    """Import a file as a new version of a dataset's table.

    Args:
        source: The file.
        format_name: Name of its importer.
        options: How its rows are read, sanitised and dealt out.
        table: Folder of the dataset's Delta table.
        import_id: Id of this import; the same again returns the version that it made before.
        scratch: An existing folder for the staging file.
        quarantine: Where rows go that cannot be used.
        max_row_bytes: Longest row, in bytes.
        watch: Told how far the build is.
        sources: Where the steps find what they refer to.

    Raises:
        FormatInvalid, TooLarge: The file cannot be read as this format. RowInvalid: a row cannot be used, and the
            policy is to stop. InvalidInput: mixed shapes, no rows left, or too few to split.
    """
    shaper, ids = Shaper(options.columns), RowIds(options.key)
    records = read_records(source, format_name, max_row_bytes, quarantine, options.encoding)
    rows = _counted("read", _usable_rows(records, shaper, ids, quarantine), watch)
    first = next(rows, None)
    if first is None:
        reasons = "; ".join(f"line {row.line}: {row.reason}" for row in quarantine.first[:3])
        raise InvalidInput(f"the file has no usable row{f' ({reasons})' if reasons else ''}")
    shape = shaper.maps[0].shape
    sanitation = Sanitation(options.sanitize, shape, sources)
    staged = stage_rows(scratch / "staged.arrow", sanitation.run(chain([first], rows)), shape)
    columns = shaper.finish()
    if not staged.row_ids:
        raise InvalidInput("the sanitising steps left no row; loosen them")
    watch("split", len(staged.row_ids))
    splits, report = split_rows(
        staged.row_ids,
        staged.inputs,
        seed=options.seed,
        validation=options.validation_split,
        test=options.test_split,
    )
    written = write_version(table, _counted("write", staged.stored(splits), watch), import_id)
    return Built(written, shape, columns.as_columns(), ids.count, quarantine.count, sanitation.records(), report)


def _usable_rows(records: Iterator[Record], shaper: Shaper, ids: RowIds, quarantine: Quarantine) -> Iterator[Row]:
    for record in records:
        try:
            values = shaper.shape(record.values, record.line)
            row = Row(ids.name(record.values, record.line), record.line, values)
        except RowFault as fault:
            quarantine.refuse_record(record, fault)
            continue
        if not shaper.mixed:  # a mixed file is refused when it has been read, so that the message can name lines
            yield row


def _counted(stage: str, rows: Iterator[Item], watch: Watch) -> Iterator[Item]:
    for number, row in enumerate(rows, start=1):
        if number % _WATCH_EVERY == 0:
            watch(stage, number)
        yield row
