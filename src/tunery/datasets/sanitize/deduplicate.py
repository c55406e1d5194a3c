"""``deduplicate``: keep the first of rows that would teach a model the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, compress
from operator import not_
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, PrivateAttr

from tunery.datasets.packed import Chunk, PackedRows, chunked, content_digest
from tunery.datasets.rows import Row
from tunery.datasets.sanitize import SANITIZERS, SanitizeStep, Sources, Tally
from tunery.datasets.seen import Seen
from tunery.datasets.shapes import Shape

__all__ = ["Deduplicate"]


@SANITIZERS.register("deduplicate")
class Deduplicate(SanitizeStep):
    """Keep the first of rows whose messages, prompt and completion, or text are equal; other columns do not count.

    Rows that are appended are compared with those that stand, too.
    """

    removes_rows: ClassVar[bool] = True

    step: Literal["deduplicate"] = Field("deduplicate", description="Name of the step.")

    _scratch: Path | None = PrivateAttr(None)
    _standing: Callable[[], Iterable[Row]] = PrivateAttr(tuple)

    def prepare(self, sources: Sources) -> Deduplicate:
        ready = self.model_copy()
        ready._scratch, ready._standing = sources.scratch, sources.standing
        return ready

    def apply(self, rows: Iterable[Row], shape: Shape, tally: Tally) -> Iterator[Row]:
        return chain.from_iterable(self.apply_to(chunked(rows), shape, tally))

    def apply_to(self, chunks: Iterable[Chunk], shape: Shape, tally: Tally) -> Iterator[Chunk]:
        seen = Seen(self._scratch)
        for before in chunked(self._standing()):
            seen.add_all([content_digest(row, shape) for row in before])
        for chunk in chunks:
            if isinstance(chunk, PackedRows):
                first = seen.add_all(chunk.learned)
            else:
                first = seen.add_all([content_digest(row, shape) for row in chunk])
            if all(first):
                yield chunk
                continue
            if isinstance(chunk, PackedRows):
                tally.count_named(chunk.where([*map(not_, first)]).column("row_id"))
                yield chunk.where(first)
            else:
                tally.count_named([row.row_id for row in compress(chunk, map(not_, first))])
                yield [*compress(chunk, first)]

    def describe(self) -> str:
        return "Removed exact duplicates, the first of each kept"
