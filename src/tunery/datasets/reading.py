"""Read a file of lines in several processes, so that rows, faults and their order are as one process has them.

The file is cut at line ends. A process reads, shapes and names the rows of a piece as if nothing came before it; here
they are taken in order, and a row that came before gets its name anew. Where a piece cannot be judged by itself (a key
that came before, rows of another shape) it is read again here, with all that is known.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tunery.datasets.formats import IMPORTERS, Malformed, Record
from tunery.datasets.formats.encodings import as_utf8
from tunery.datasets.formats.strict_json import StrictJson
from tunery.datasets.packed import Chunk, PackedRows, chunked, packed
from tunery.datasets.quarantine import Quarantine, RowFault, read_records
from tunery.datasets.rows import PieceIds, Row, RowIds
from tunery.datasets.sanitize import Sanitation, SanitizeStep, Share, Tally
from tunery.datasets.schemas import ImportOptions
from tunery.datasets.shapes import Shape, Shaper, Sightings
from tunery.datasets.splits import split_said
from tunery.datasets.subject_watch import SubjectWatch
from tunery.datasets.workers import Workers
from tunery.errors import InvalidInput
from tunery.kit.digests import canonical_json

__all__ = ["Reading", "share_with"]

_PIECE = 1 << 20


class _Piece(NamedTuple):
    data: bytes
    first_line: int


@dataclass(frozen=True)
class _Read:
    rows: PackedRows
    columns: set[str]
    altered: frozenset[int]
    refused: list[Malformed]
    sightings: Sightings
    passed_over: int
    entries: bytes


class _Collected(Quarantine):
    """Notes what is refused; the policy is another's."""

    def __init__(self) -> None:
        super().__init__("quarantine")
        self.refused: list[Malformed] = []

    def refuse(self, row: Malformed) -> None:
        self.refused.append(row)


class Reading:
    """The rows of one file.

    Args:
        source: The file.
        format_name: Name of its importer.
        options: How it is read.
        max_row_bytes: Longest row, in bytes.
        quarantine: Where rows go that cannot be used.
        subjects: Notes whom the rows are about.
        ids: Names the rows.

    Attributes:
        shaper: What brings the rows into one shape.
    """

    def __init__(
        self,
        source: Path,
        format_name: str,
        options: ImportOptions,
        max_row_bytes: int,
        quarantine: Quarantine,
        subjects: SubjectWatch,
        ids: RowIds,
    ) -> None:
        self.shaper = Shaper(options.columns, options.shape)
        self._source = source
        self._format = format_name
        self._options = options
        self._max_row_bytes = max_row_bytes
        self._quarantine = quarantine
        self._subjects = subjects
        self._ids = ids
        self._columns = set[str]()
        quarantine.on_refused, quarantine.on_aside = subjects.refused, subjects.aside

    def chunks(self, workers: Workers) -> Iterator[Chunk]:
        """Yield the rows in order; workers, where there are any, share the reading."""
        encoding = self._options.encoding
        if not workers.count:
            yield from self._usable(
                read_records(self._source, self._format, self._max_row_bytes, self._quarantine, encoding)
            )
            return
        with self._source.open("rb") as file:
            pieces = _pieces(as_utf8(file, encoding), self._max_row_bytes)
            for piece in pieces:  # until the shape is known
                yield from self._usable(self._records(piece))
                if self.shaper.maps:
                    yield from self._shared(workers, pieces)

    def check(self) -> None:
        """Look at what was read. Raises: InvalidInput: no row has a column that is said to name a person."""
        if unknown := [name for name in self._options.subject_columns if name not in self._columns]:
            raise InvalidInput(
                f"no row has the subject column {unknown[0]!r}, so nobody would be found by it; correct its name, or "
                "leave it out"
            )

    def _shared(self, workers: Workers, pieces: Iterator[_Piece]) -> Iterator[Chunk]:
        shape, ahead = self.shaper.maps[0].shape, deque[_Piece]()
        task = _ReadPiece(self._format, self._options, self._max_row_bytes, shape, self._subjects.blank())
        for read in workers.map(task, _noted(pieces, ahead)):
            piece = ahead.popleft()
            stands = not self.shaper.mixed and all(found.shape == shape for found, _, _ in read.sightings)
            if stands and not (self._options.key and self._ids.knows(read.rows.column("row_id"))):
                yield self._taken(read, piece)
            else:
                yield from self._usable(self._records(piece))

    def _usable(self, records: Iterable[Record]) -> Iterator[Chunk]:
        said = self._options.split_column
        seen = _seen(records, self._options.subject_columns, self._columns)
        return chunked(_usable_rows(seen, self.shaper, self._ids, self._quarantine, self._subjects, said))

    def _records(self, piece: _Piece) -> Iterator[Record]:
        return _records_of(piece, self._format, self._max_row_bytes, self._quarantine)

    def _taken(self, read: _Read, piece: _Piece) -> PackedRows:
        """Return the rows of a piece by the names that they have in the whole file."""
        self.shaper.add(read.sightings)
        self._columns |= read.columns
        self._subjects.add(read.passed_over, read.entries)
        for row in read.refused:
            self._quarantine.refuse(row)
        ids, lines = read.rows.column("row_id"), read.rows.column("line")
        again = [place for place, new in enumerate(self._ids.take(ids, lines)) if not new]
        if not again:
            return read.rows
        contents, source = read.rows.batch["content"], piece.data.split(b"\n")
        for place in again:
            content = contents[place].as_py().encode()
            if place in read.altered:
                text = source[lines[place] - piece.first_line].decode().removeprefix("\ufeff")
                values = StrictJson().parse(text)
                content = canonical_json({k: v for k, v in values.items() if k != self._options.split_column})
            ids[place] = self._ids.name_copy(content, lines[place])
        return read.rows.renamed(ids)


def _usable_rows(
    records: Iterable[Record],
    shaper: Shaper,
    ids: RowIds,
    quarantine: Quarantine,
    subjects: SubjectWatch,
    split_column: str | None,
) -> Iterator[Row]:
    """Yield what can be used of records: shaped and named; the rest goes to the quarantine."""
    for record in records:
        if (about := subjects.row(record.values, record.line)) is None:
            continue
        whole = dict(record.values) if split_column else record.values
        said = record.values.pop(split_column, None) if split_column else "train"
        try:
            if (split := split_said(said)) is None:
                raise RowFault(
                    f"the split column {split_column!r} says neither train, validation nor test; name no split column, "
                    "and say how much is held out"
                )
            values = shaper.shape(record.values, record.line)
            row_id = ids.name(record.values, record.line)
            row = Row(row_id, record.line, values, about, split if split_column else "")
        except RowFault as fault:
            quarantine.refuse_record(record._replace(values=whole), fault)
            continue
        if not shaper.mixed:  # a mixed file is refused when it has been read, so that the message can name lines
            yield row


def share_with(workers: Workers) -> Share:
    """Return what applies steps that look at one row at a time, in several processes."""

    def share(
        steps: list[SanitizeStep], shape: Shape, tallies: list[Tally], chunks: Iterable[Chunk]
    ) -> Iterator[Chunk]:
        empty: list[Chunk] = [[]]  # what a step reports of no rows
        for left, counted in workers.map(_ApplySteps(steps, shape), chain(empty, chunks)):
            for tally, part in zip(tallies, counted, strict=True):
                tally.add(part)
            yield left

    return share


@dataclass(frozen=True)
class _ReadPiece:
    format_name: str
    options: ImportOptions
    max_row_bytes: int
    shape: Shape
    subjects: SubjectWatch

    def __call__(self, piece: _Piece) -> _Read:
        shaper, ids = Shaper(self.options.columns, self.shape), PieceIds(self.options.key)
        quarantine, subjects = _Collected(), self.subjects.blank()
        last: list[dict[str, Any]] = [{}]
        rows: list[Row] = []
        contents: list[bytes] = []
        altered: list[int] = []
        columns = set[str]()
        records = _records_of(piece, self.format_name, self.max_row_bytes, quarantine)
        records = _remembered(_seen(records, self.options.subject_columns, columns), last)
        for row in _usable_rows(records, shaper, ids, quarantine, subjects, self.options.split_column):
            if row.values == last[0] and ids.content:  # most rows are kept as they came
                contents.append(ids.content)
            else:
                altered.append(len(rows))
                contents.append(canonical_json(row.values))
            rows.append(row)
        found = packed(rows, self.shape, contents)
        return _Read(
            found,
            columns,
            frozenset(altered),
            quarantine.refused,
            shaper.seen(),
            subjects.passed_over,
            subjects.entries.read(),
        )


@dataclass(frozen=True)
class _ApplySteps:
    steps: list[SanitizeStep]
    shape: Shape

    def __call__(self, chunk: Chunk) -> tuple[PackedRows, list[Tally]]:
        sanitation = Sanitation(self.steps, self.shape)
        return packed(sanitation.run(chunk), self.shape), sanitation.tallies


def _records_of(piece: _Piece, format_name: str, max_row_bytes: int, quarantine: Quarantine) -> Iterator[Record]:
    before = piece.first_line - 1
    # Only the file's first line may begin with a mark, or show that it is no text.
    data, before = (piece.data, 0) if before == 0 else (b"\n" + piece.data, before - 1)
    for found in IMPORTERS.get(format_name)(io.BytesIO(data), max_row_bytes):
        if isinstance(found, Malformed):
            quarantine.refuse(found._replace(line=found.line + before))
        elif isinstance(found, Record):  # of a file of lines only these are read in pieces: nothing stands beside them
            yield Record(found.line + before, found.values)


def _pieces(file: BinaryIO, max_row_bytes: int) -> Iterator[_Piece]:
    """Cut a file at line ends; of a longer line than can be a row only the beginning is kept."""
    first = 1
    while data := file.read(_PIECE):
        if not data.endswith(b"\n"):
            data += file.readline(max_row_bytes + 1)
            if len(data) > _PIECE + max_row_bytes and not data.endswith(b"\n"):
                last = data
                while last and not last.endswith(b"\n"):
                    last = file.readline(_PIECE)
                data += b"\n"
        yield _Piece(data, first)
        first += data.count(b"\n")


def _seen(records: Iterable[Record], wanted: Collection[str], seen: set[str]) -> Iterator[Record]:
    """Yield the records, and add to ``seen`` which of the wanted columns they have."""
    for record in records:
        if len(seen) < len(wanted):
            seen.update(name for name in wanted if name in record.values)
        yield record


def _remembered(records: Iterator[Record], last: list[dict[str, Any]]) -> Iterator[Record]:
    for record in records:
        last[0] = record.values
        yield record


def _noted(pieces: Iterator[_Piece], ahead: deque[_Piece]) -> Iterator[_Piece]:
    for piece in pieces:
        ahead.append(piece)
        yield piece
