"""Sanitising steps as plug-ins: each file here registers one. How to add one: ADDING.md beside it.

A step is a pydantic model: its fields are the parameters a recipe may give, its ``apply`` does the work on a stream of
rows. The recipe lists steps in order; each leaves a record of what it did (R1's ``preprocessingSteps``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, groupby, pairwise
from pathlib import Path
from pkgutil import iter_modules
from time import perf_counter
from typing import Annotated, Any, ClassVar, Protocol, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tunery.datasets.packed import Chunk, chunked
from tunery.datasets.rows import Row
from tunery.datasets.shapes import Shape, columns_of, texts_of
from tunery.errors import InvalidInput, TooLarge
from tunery.kit.clock import now
from tunery.plugins import Registry

__all__ = [
    "SAMPLES",
    "SANITIZERS",
    "Evaluations",
    "HeldOut",
    "PreprocessingStep",
    "Sanitation",
    "SanitizeStep",
    "Share",
    "Sources",
    "Tally",
    "joined_text",
]

SAMPLES = 3
"""Most of what a list among a tally's details shows."""

_EXAMPLES = 5
_MOST_HELD_OUT = 100_000_000
_EVALUATION = re.compile(
    r"[a-z0-9][a-z0-9._-]{0,95}:[0-9]{1,9}(/(train|validation|test))?|file:[0-9a-f]{64}\.[a-z0-9.]{1,20}"
)


class Tally:
    """Counts the rows that a step took away or changed.

    Attributes:
        affected: Number of them.
        examples: Ids of the first of them.
        counts: How many, by reasons or kinds that the step tells apart.
        details: What else the step has to report, as plain JSON; never content of rows.
        seconds: Time spent in the step itself.
        given: Number of rows that came to the step.
        has_key: Whether any of them had the column that the step's ``key`` names.
    """

    def __init__(self) -> None:
        self.given = 0
        self.has_key = False
        self.affected = 0
        self.examples: list[str] = []
        self.counts: Counter[str] = Counter()
        self.details: dict[str, Any] = {}
        self.seconds = 0.0
        self.finished_at: datetime | None = None

    def count(self, row: Row, *reasons: str) -> None:
        """Count a row that was taken away or changed, and why."""
        self.counts.update(reasons)
        self.count_named([row.row_id])

    def count_named(self, row_ids: Sequence[str]) -> None:
        """Count rows by their ids."""
        self.affected += len(row_ids)
        if len(self.examples) < _EXAMPLES:
            self.examples = [*self.examples, *row_ids][:_EXAMPLES]

    def add(self, later: Tally) -> None:
        """Add what was counted over the rows that come after these."""
        self.given += later.given
        self.has_key |= later.has_key
        self.affected += later.affected
        self.examples = (self.examples + later.examples)[:_EXAMPLES]
        self.counts += later.counts
        for name, detail in later.details.items():
            mine = self.details.get(name)
            joined = isinstance(mine, list) and isinstance(detail, list)
            self.details[name] = (mine + detail)[:SAMPLES] if joined else detail
        self.seconds += later.seconds


class Sources(Protocol):
    """What a step's parameters may refer to, found before it runs."""

    @property
    def scratch(self) -> Path | None:
        """A private folder for temporary files; None: the system's."""

    def rows(self, reference: str) -> Iterator[tuple[str, Shape, dict[str, Any]]]:
        """Yield id, shape and columns of the rows of an evaluation set. Raises: NotFound."""

    def standing(self) -> Iterator[Row]:
        """Yield the rows, as they stand, that new ones are appended to; none where a dataset begins anew."""

    def tokenizer(self, reference: str) -> bytes:
        """Return the ``tokenizer.json`` that a reference names. Raises: NotFound."""

    def key(self, purpose: str) -> bytes:
        """Return the tenant's key of 32 bytes for a purpose, such as ``pseudonyms``; always the same."""


def _check_reference(reference: str) -> str:
    if not _EVALUATION.fullmatch(reference):
        raise ValueError(
            f"{reference[:80]!r} names no evaluation set that stays the same: write name:2, name:2/test, or "
            "file:DIGEST.jsonl for an uploaded file"
        )
    return reference


Evaluations: TypeAlias = Annotated[
    list[Annotated[str, AfterValidator(_check_reference)]],
    Field(
        min_length=1,
        max_length=100,
        description="Evaluation sets: a dataset version (`name:2`), a split of it (`name:2/test`), or an uploaded file "
        "(`file:DIGEST.jsonl`, with its SHA-256).",
    ),
]


@dataclass(frozen=True)
class HeldOut:
    """The rows of evaluation sets.

    Attributes:
        texts: What is compared of each.
        names: The set and the row id of each.
    """

    texts: list[str]
    names: list[tuple[str, str]]

    @classmethod
    def read(
        cls, sources: Sources, references: Iterable[str], text_of: Callable[[Shape, dict[str, Any]], str]
    ) -> HeldOut:
        """Read evaluation sets. Raises: NotFound: one of them is not there. TooLarge: they do not fit into memory."""
        found, size = cls([], []), 0
        for reference in references:
            for row_id, shape, values in sources.rows(reference):
                found.texts.append(text_of(shape, values))
                found.names.append((reference, row_id))
                size += len(found.texts[-1])
                if size > _MOST_HELD_OUT:
                    raise TooLarge(f"the evaluation sets have more than {_MOST_HELD_OUT:,} characters; name a split")
        return found


class SanitizeStep(BaseModel):
    """A step and its parameters. One named ``key`` names a column: an import in which no row has it is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    removes_rows: ClassVar[bool] = False
    row_local: ClassVar[bool] = False
    """Whether it looks at one row at a time and remembers nothing, so that several processes may share the rows."""

    step: str = Field(description="Name of the step.")

    def prepare(self, sources: Sources) -> SanitizeStep:
        """Return the step ready to run, with what its parameters refer to; it must survive pickling."""
        return self

    def apply(self, rows: Iterable[Row], shape: Shape, tally: Tally) -> Iterator[Row]:
        """Yield the rows that stay, in order, changed or not; keep their ids. Count what was affected."""
        raise NotImplementedError

    def apply_to(self, chunks: Iterable[Chunk], shape: Shape, tally: Tally) -> Iterator[Chunk]:
        """Do the same with rows that come some at a time."""
        return chunked(self.apply(chain.from_iterable(chunks), shape, tally))

    def check(self, tally: Tally) -> None:
        """Look at what was done to all the rows. Raises: InvalidInput: a parameter fits none of them."""

    def describe(self) -> str:
        """Say in a sentence what was done, for the provenance record."""
        raise NotImplementedError


SANITIZERS: Registry[type[SanitizeStep]] = Registry(
    "sanitizer", tuple(f"{__name__}.{module.name}" for module in iter_modules(__path__))
)
"""Every known step by name; a package adds its own by an entry point in the group ``tunery.sanitizer``."""


Share: TypeAlias = Callable[[list[SanitizeStep], Shape, list[Tally], Iterable[Chunk]], Iterator[Chunk]]
"""Applies steps to rows and adds to the tally of each."""


class PreprocessingStep(BaseModel):
    """What one step did to a dataset version, as R1's provenance record has it."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    step: str
    description: str
    affected_samples: int
    timestamp: datetime
    seconds: float = 0.0
    parameters: dict[str, Any] = Field(default_factory=dict)
    examples: list[str] = Field(default_factory=list, description="Ids of the first affected rows.")
    details: dict[str, Any] = Field(default_factory=dict)


class Sanitation:
    """The steps of one import, in order.

    Args:
        steps: The steps.
        shape: The shape of the rows.
        sources: Where what they refer to is found; without it such a step refuses to run.
    """

    def __init__(self, steps: Iterable[SanitizeStep], shape: Shape, sources: Sources | None = None) -> None:
        self._steps = [(step.prepare(sources) if sources else step, Tally()) for step in steps]
        self._shape = shape

    def run(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows, given in order, that are left after all steps."""
        return chain.from_iterable(self.run_chunks(chunked(rows)))

    def run_chunks(self, chunks: Iterable[Chunk], share: Share | None = None) -> Iterator[Chunk]:
        """Yield the rows that are left after all steps, some at a time.

        Args:
            chunks: The rows in order.
            share: Applies steps that look at one row at a time, in several processes; none: all is done in this one.
        """
        passed = [_Timed(chunks)]
        for local, group in groupby(self._steps, lambda each: share is not None and each[0].row_local):
            together = [*group]
            if local and share is not None:
                tallies = [tally for _, tally in together]
                passed.append(_Timed(share([step for step, _ in together], self._shape, tallies, passed[-1])))
                continue
            for step, tally in together:
                given = _looked_at(passed[-1], getattr(step, "key", None), tally)
                passed.append(_Timed(step.apply_to(given, self._shape, tally), tally))
        yield from passed[-1]
        for before, after in pairwise(passed):
            if after.tally is not None:
                after.tally.seconds = after.seconds - before.seconds  # a step asks the one before it for rows
        for _, tally in self._steps:
            tally.finished_at = now()

    @property
    def tallies(self) -> list[Tally]:
        """What each step counted."""
        return [tally for _, tally in self._steps]

    def check(self, left: int) -> None:
        """Let each step look at what it did.

        Args:
            left: Number of rows that all steps left.

        Raises:
            InvalidInput: A parameter fits none of the rows, or none is left.
        """
        reached = [each for each in self._steps if each[1].given]
        for step, tally in reached:
            step.check(tally)
            if (key := getattr(step, "key", None)) is not None and not tally.has_key:
                raise InvalidInput(f"{step.step}: no row has the column {key!r}; correct its name, or leave it out")
        if not left:
            step, tally = reached[-1]
            raise InvalidInput(
                f"the sanitising steps left no row: {step.step} took away the last {tally.given}; loosen it"
            )

    def records(self) -> list[PreprocessingStep]:
        """Return what each step did; call it when ``run`` has come to its end."""
        return [_record(step, tally) for step, tally in self._steps]


def _looked_at(chunks: Iterable[Chunk], key: str | None, tally: Tally) -> Iterator[Chunk]:
    """Pass rows on and note how many there are, and whether any has the column."""
    for chunk in chunks:
        tally.given += len(chunk)
        tally.has_key = tally.has_key or (key is not None and any(key in row.values for row in chunk))
        yield chunk


def joined_text(shape: Shape, values: dict[str, Any], key: str | None = None) -> str:
    """Return the texts of a column, or of all that a model would learn from, each on a line of its own."""
    columns = columns_of(shape, values) if key is None else (key,)
    return "\n".join(text for column in columns for text in texts_of(values.get(column)))


def _record(step: SanitizeStep, tally: Tally) -> PreprocessingStep:
    return PreprocessingStep(
        step=step.step,
        description=step.describe(),
        affected_samples=tally.affected,
        timestamp=tally.finished_at or now(),
        seconds=round(tally.seconds, 3),
        parameters=step.model_dump(mode="json", exclude={"step"}, exclude_defaults=True),
        examples=tally.examples,
        details=dict(sorted(tally.counts.items())) | tally.details,
    )


class _Timed:
    """Passes rows on and measures how long it waits for them."""

    def __init__(self, chunks: Iterable[Chunk], tally: Tally | None = None) -> None:
        self.seconds = 0.0
        self.tally = tally
        self._chunks = iter(chunks)

    def __iter__(self) -> _Timed:
        return self

    def __next__(self) -> Chunk:
        start = perf_counter()
        try:
            return next(self._chunks)
        finally:
            self.seconds += perf_counter() - start
