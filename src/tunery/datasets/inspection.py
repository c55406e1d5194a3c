"""Look at a data file before it is imported: what it is, what is wrong with it, what it may be good for."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from contextlib import suppress
from pathlib import Path

from blake3 import blake3
from pydantic import Field

from tunery.datasets.formats import Record, guess_format
from tunery.datasets.quarantine import Quarantine, RowFault, read_records
from tunery.datasets.sanitize.filter_by_length import length_of
from tunery.datasets.shapes import Columns, Shape, Shaper, columns_of, content_of, output_of
from tunery.errors import InvalidInput
from tunery.kit.digests import canonical_json
from tunery.platform.http import Camel

__all__ = ["BadLine", "Findings", "Lengths", "inspect_file"]

_MAX_LABELS = 50
_MAX_LABEL_LENGTH = 60
_EXAMPLES = 3


class BadLine(Camel):
    """A line that no row could be made of."""

    line: int
    reason: str
    text: str


class Lengths(Camel):
    """How long rows are, in characters of what a model learns from."""

    least: int
    median: int
    p90: int
    p99: int
    greatest: int


class Findings(Camel):
    """What a data file holds."""

    format: str = Field(description="Name of the importer that reads it.")
    shape: Shape | None = Field(
        description="Shape of the rows, such as chat or completion; none where they do not tell, or mix."
    )
    problem: str | None = Field(None, description="Why the file cannot be imported as it stands.")
    columns: list[str] = Field(description="Columns that rows have, the commonest first.")
    mapping: dict[str, str | list[str]] = Field(description="Which columns make up the shape, told by rule.")
    rows: int = Field(description="Usable rows; where shapes mix, the rows of all of them.")
    malformed: int = Field(
        description="Lines that cannot be used; an import stops at them or sets them aside. Where no row at all fits a "
        "shape, rows that were read well do not count: `problem` says what is wrong with them."
    )
    bad_lines: list[BadLine] = Field(description="The first of them.")
    duplicates: int | None = Field(
        description="Rows that repeat an earlier one exactly, in what a model learns from; none where shapes mix."
    )
    lengths: Lengths | None = Field(description="Lengths of the usable rows; none where shapes mix.")
    answer_lengths: Lengths | None = Field(None, description="Lengths of their answers, where they have one.")
    labels: list[str] = Field(description="The distinct answers, where they are few and short.")
    metrics: list[str] = Field(description="Metrics that suit the task.")
    examples: list[dict[str, object]] = Field(description="The first rows, in their shape.")


class _Answers:
    """What the rows' answers are: JSON objects, a few labels, or free text."""

    def __init__(self) -> None:
        self.count = self.json_objects = 0
        self.labels: Counter[str] = Counter()
        self.lengths = array("Q")

    def add(self, answer: str) -> None:
        self.count += 1
        self.lengths.append(len(answer))
        if answer.lstrip().startswith("{"):
            with suppress(ValueError, RecursionError):
                self.json_objects += isinstance(json.loads(answer), dict)
        if len(self.labels) <= _MAX_LABELS:
            self.labels[answer.strip()] += 1

    @property
    def are_json(self) -> bool:
        return self.json_objects >= 0.95 * self.count > 0

    @property
    def are_labels(self) -> bool:
        few = len(self.labels) <= min(_MAX_LABELS, self.count / 5)
        return few and len(self.labels) > 1 and all(len(label) <= _MAX_LABEL_LENGTH for label in self.labels)


def inspect_file(
    path: Path,
    format_name: str | None = None,
    columns: Columns | None = None,
    *,
    name: str | None = None,
    encoding: str | None = None,
    max_row_bytes: int = 10_000_000,
) -> Findings:
    """Read a whole file and return what it holds; nothing is kept and malformed lines do not stop it.

    Args:
        path: The file.
        format_name: Its format; none: told by the ending of its name.
        columns: A declared column map; none: told by rule.
        name: The file's name where the path does not carry it.
        encoding: How a text file is written; none: UTF-8, or by its byte order mark.
        max_row_bytes: Longest row, in bytes.

    Raises:
        FormatInvalid: The file cannot be read as this format at all.
    """
    format_name = format_name or guess_format(name or path.name)
    inspection = _Inspection(columns)
    for record in read_records(path, format_name, max_row_bytes, inspection.quarantine, encoding):
        inspection.add(record)
    return inspection.findings(format_name)


class _Inspection:
    def __init__(self, columns: Columns | None) -> None:
        self.quarantine = Quarantine("quarantine")
        self._shaper = Shaper(columns)
        self._columns: Counter[str] = Counter()
        self._answers = _Answers()
        self._lengths = array("Q")
        self._seen: set[bytes] = set()
        self._rows = 0
        self._duplicates = 0
        self._examples: list[dict[str, object]] = []
        self._shapeless: list[int] = []

    def add(self, record: Record) -> None:
        self._columns.update(record.values.keys())
        try:
            values = self._shaper.shape(record.values, record.line)
        except RowFault as fault:
            self.quarantine.refuse_record(record, fault)
            self._shapeless.append(record.line)
            return
        self._rows += 1
        if self._shaper.mixed:
            return
        shape = self._shaper.maps[0].shape
        digest = blake3(canonical_json(content_of(shape, values))).digest(16)
        self._duplicates += digest in self._seen
        self._seen.add(digest)
        self._lengths.append(sum(length_of(values[column]) for column in columns_of(shape, values)))
        if shape not in ("text", "prompt"):
            self._answers.add(output_of(shape, values))
        if len(self._examples) < _EXAMPLES:
            self._examples.append(values)

    def findings(self, format_name: str) -> Findings:
        shape, mapping, problem = self._told()
        spared = set() if self._lengths else set(self._shapeless)
        bad_lines = [row for row in self.quarantine.first if row.line not in spared]
        mixed = self._shaper.mixed  # then no more than the rows up to the first of another shape were measured
        return Findings(
            format=format_name,
            shape=shape,
            problem=problem,
            columns=[name for name, _ in self._columns.most_common(100)],
            mapping=mapping,
            rows=self._rows,
            malformed=self.quarantine.count - len(spared),
            bad_lines=[BadLine(line=r.line, reason=r.reason, text=r.text[:200]) for r in bad_lines],
            duplicates=None if mixed else self._duplicates,
            lengths=None if mixed else _lengths(self._lengths),
            answer_lengths=None if mixed else _lengths(self._answers.lengths),
            labels=sorted(self._answers.labels) if self._answers.are_labels and not mixed else [],
            metrics=_metrics(shape, self._answers),
            examples=self._examples,
        )

    def _told(self) -> tuple[Shape | None, dict[str, str | list[str]], str | None]:
        if not self._lengths:
            return None, {}, self._useless()
        try:
            found = self._shaper.finish()
        except InvalidInput as error:
            return None, {}, error.message
        return found.shape, found.as_columns(), None

    def _useless(self) -> str:
        if not self.quarantine.count:
            return "it is empty"
        first = self.quarantine.first[0]
        if self._shapeless:
            return f"no row of it can be used as it stands: on {self.quarantine.place} {first.line} {first.reason}"
        if self.quarantine.place == "row":
            return f"no row of it can be used: row {first.line}: {first.reason}"
        return f"no line of it could be read; is it of another format? Line {first.line}: {first.reason}"


def _lengths(lengths: array[int]) -> Lengths | None:
    if not lengths:
        return None
    ordered = sorted(lengths)

    def at(share: float) -> int:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return Lengths(least=ordered[0], median=at(0.5), p90=at(0.9), p99=at(0.99), greatest=ordered[-1])


def _metrics(shape: Shape | None, answers: _Answers) -> list[str]:
    if shape is None:
        return []
    if shape == "text":
        return ["perplexity"]
    if shape in ("prompt", "preference"):
        return []  # there is no one answer to compare with
    if answers.are_json:
        return ["exact_match", "json_valid", "json_field_f1"]
    if answers.are_labels:
        return ["exact_match", "accuracy", "f1_score"]
    return ["exact_match", "token_f1"]
