"""``deduplicate``: keep the first of rows that would teach a model the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

from pydantic import Field

from tunery.datasets.packed import content_digest
from tunery.datasets.rows import Row
from tunery.datasets.sanitize import SANITIZERS, SanitizeStep, Tally
from tunery.datasets.shapes import Shape

__all__ = ["Deduplicate"]


@SANITIZERS.register("deduplicate")
class Deduplicate(SanitizeStep):
    """Keep the first of rows whose messages, prompt and completion, or text are equal; other columns do not count."""

    removes_rows: ClassVar[bool] = True

    step: Literal["deduplicate"] = Field("deduplicate", description="Name of the step.")

    def apply(self, rows: Iterable[Row], shape: Shape, tally: Tally) -> Iterator[Row]:
        seen: set[bytes] = set()
        for row in rows:
            digest = content_digest(row, shape)
            if digest in seen:
                tally.count(row)
            else:
                seen.add(digest)
                yield row

    def describe(self) -> str:
        return "Removed exact duplicates, the first of each kept"
