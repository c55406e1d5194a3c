"""From a file to the rows of a version: read, name, shape, sanitise, split.

The rows pass twice: first from the source file into a staging file, for the split can only be told when all rows are
known; then from there to where they are wanted. In memory is what the split needs, where there is one, and the id of
each row that stands already; which ids came before lies in files (``seen``). A long file of lines is read by several
processes (``reading``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tunery.datasets.quarantine import Quarantine
from tunery.datasets.reading import Reading, share_with
from tunery.datasets.rows import RowIds
from tunery.datasets.sanitize import PreprocessingStep, Sanitation, Sources
from tunery.datasets.schemas import ImportOptions
from tunery.datasets.shapes import Shape
from tunery.datasets.splits import Split, SplitReport, split_rows
from tunery.datasets.staging import Staged, stage_rows
from tunery.datasets.subject_watch import SubjectWatch
from tunery.datasets.versions.row_files import StoredRow, rows_in
from tunery.datasets.workers import Workers
from tunery.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Built", "Standing", "Watch", "build_rows"]

Some = TypeVar("Some", bound=Sized)
Watch = Callable[[str, int], None]
"""Told now and then the stage (``read``, ``split``, ``write``) and the rows done in it; may raise to end the build."""

_WATCH_EVERY = 1000


@dataclass(frozen=True)
class Built:
    """The rows of a version to be, in a staging file.

    Attributes:
        staged: The rows.
        splits: The split of each, in order.
        shape: The shape of its rows.
        columns: The column map of most rows, as a recipe writes it.
        read: Rows that were read and shaped, before sanitising.
        quarantined: Rows set aside.
        passed_over: Rows left out, for they name someone who was erased.
        steps: What each sanitising step did.
        split: How the rows were dealt out.
    """

    staged: Staged
    splits: Iterable[Split]
    shape: Shape
    columns: dict[str, str | list[str]]
    read: int
    quarantined: int
    passed_over: int
    steps: list[PreprocessingStep]
    split: SplitReport

    def rows(self) -> Iterator[StoredRow]:
        """Yield the rows in order."""
        return (row for batch in self.batches() for row in rows_in(batch))

    def by_id(self) -> Mapping[str, StoredRow]:
        """Return the rows by their ids, in order; in memory are the ids."""
        return self.staged.by_id(self.splits)

    def batches(self, watch: Watch = lambda stage, rows: None) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order as a file of rows has them, some at a time."""
        return _counted("write", self.staged.batches(self.splits), watch)


@dataclass(frozen=True)
class Standing:
    """The rows of the version that others come to.

    Attributes:
        splits: The split of each row by its id, in order.
        inputs: What a model is asked in each, in the same order; empty where all stay in train and so do new ones.
        shape: Their shape, which the others must have too.
        replaced: Whether a row of theirs gives way to one with its key; else keys may not come again.
    """

    splits: dict[str, Split] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    shape: Shape | None = None
    replaced: bool = False


def build_rows(
    source: Path,
    format_name: str,
    options: ImportOptions,
    *,
    scratch: Path,
    quarantine: Quarantine,
    max_row_bytes: int,
    standing: Standing | None = None,
    subjects: SubjectWatch | None = None,
    watch: Watch = lambda stage, rows: None,
    sources: Sources | None = None,
) -> Built:
    """Read, sanitise and deal out the rows of a file.

    Args:
        source: The file.
        format_name: Name of its importer.
        options: How its rows are read, sanitised and dealt out.
        scratch: An existing folder for the staging file; it must stay as long as the rows are wanted.
        quarantine: Where rows go that cannot be used.
        max_row_bytes: Longest row, in bytes.
        standing: Rows that these come to; they keep their splits.
        subjects: Notes whom the rows are about.
        watch: Told how far the build is.
        sources: Where the steps find what they refer to.

    Raises:
        FormatInvalid, TooLarge: The file cannot be read as this format. RowInvalid: a row cannot be used, and the
            policy is to stop. InvalidInput: mixed shapes, no rows left, or too few to split.
    """
    standing = standing or Standing()
    subjects = subjects or SubjectWatch()
    ids = RowIds(options.key, () if standing.replaced else standing.splits, scratch)
    reading = Reading(source, format_name, options, max_row_bytes, quarantine, subjects, ids)
    with Workers.for_file(source, format_name) as workers:
        chunks = _counted("read", reading.chunks(workers), watch)
        first = next((chunk for chunk in chunks if len(chunk)), None)
        if first is None:
            reasons = "; ".join(f"{quarantine.place} {row.line}: {row.reason}" for row in quarantine.first[:3])
            raise InvalidInput(f"the file has no usable row{f' ({reasons})' if reasons else ''}")
        shape = reading.shaper.maps[0].shape
        if standing.shape not in (None, shape):
            raise InvalidInput(
                f"the file has {shape} rows, the dataset {standing.shape} rows; import it as one of its own"
            )
        sanitation = Sanitation(options.sanitize, shape, sources)
        sane = sanitation.run_chunks(chain([first], chunks), share_with(workers) if workers.count else None)
        staged = stage_rows(scratch / "staged.arrow", sane, shape)
    columns = reading.shaper.finish()
    sanitation.check(len(staged))
    reading.check()
    watch("split", len(staged))
    splits, report = _dealt(staged, standing, options)
    return Built(
        staged=staged,
        splits=splits,
        shape=shape,
        columns=columns.as_columns(),
        read=ids.count,
        quarantined=quarantine.count,
        passed_over=subjects.passed_over,
        steps=sanitation.records(),
        split=report,
    )


def _dealt(staged: Staged, standing: Standing, options: ImportOptions) -> tuple[Iterable[Split], SplitReport]:
    """Return the split of each row, in order, and the report."""
    deal = partial(split_rows, seed=options.seed, validation=options.validation_split, test=options.test_split)
    said = staged.splits if options.split_column else []
    held_out = options.validation_split or options.test_split or {*said} - {"train"}
    if not held_out and {*standing.splits.values()} <= {"train"}:
        again = sum(row_id in standing.splits for row_id in staged.row_ids) if standing.replaced else 0
        return repeat("train"), SplitReport.of_train(len(standing.splits) + len(staged) - again)
    if not standing.splits:
        return deal(staged.row_ids, staged.inputs, settled=said)
    # Rows that stand come first; one that comes again keeps its place, and its split unless the file says another, and
    # is compared as it now is.
    inputs = standing.inputs | dict(zip(staged.row_ids, staged.inputs, strict=True))
    settled = standing.splits | dict(zip(staged.row_ids, said, strict=bool(said)))
    dealt, report = deal([*inputs], [*inputs.values()], settled=[*settled.values()])
    split_of = dict(zip(inputs, dealt, strict=True))
    return [split_of[row_id] for row_id in staged.row_ids], report


def _counted(stage: str, chunks: Iterator[Some], watch: Watch) -> Iterator[Some]:
    done = 0
    for chunk in chunks:
        before, done = done, done + len(chunk)
        for number in range(before // _WATCH_EVERY + 1, done // _WATCH_EVERY + 1):
            watch(stage, number * _WATCH_EVERY)
        yield chunk
