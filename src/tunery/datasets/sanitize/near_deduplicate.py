"""``near_deduplicate``: keep the first of rows that are almost the same."""

from __future__ import annotations

import json
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr

from tunery.datasets.rows import Row
from tunery.datasets.sanitize import SANITIZERS, SanitizeStep, Sources, Tally, joined_text
from tunery.datasets.shapes import Shape
from tunery.datasets.similarity import SHINGLE, SIMILARITY, Similarity, distinct_forms

__all__ = ["NearDeduplicate"]


@SANITIZERS.register("near_deduplicate")
class NearDeduplicate(SanitizeStep):
    """Keep the first of each group of rows that are almost the same: MinHash finds them, an exact comparison decides.

    A row belongs to a group when it is like one of its rows. Wording that every fifth row has does not count.
    """

    removes_rows: ClassVar[bool] = True

    step: Literal["near_deduplicate"] = Field("near_deduplicate", description="Name of the step.")
    key: str | None = Field(None, description="Column to compare; none: all that a model would learn from.")
    threshold: float = Field(
        SIMILARITY, ge=0.5, le=1, description="Least Jaccard similarity of two rows' sets of shingles."
    )
    shingle: int = Field(SHINGLE, ge=3, le=20, description="Characters of a shingle.")

    _scratch: str | None = PrivateAttr(None)

    def prepare(self, sources: Sources) -> NearDeduplicate:
        ready = self.model_copy()
        ready._scratch = str(sources.scratch) if sources.scratch else None
        return ready

    def apply(self, rows: Iterable[Row], shape: Shape, tally: Tally) -> Iterator[Row]:
        with tempfile.TemporaryFile(dir=self._scratch) as file:
            spool = _Spool(file, shape, self.key)
            for row in rows:
                spool.append(row)
            forms, form_of_row = distinct_forms(spool)
            groups = Similarity(forms, self.threshold, self.shingle).groups()
            tally.details["groups"] = len(set(groups))
            seen = bytearray(len(groups))
            for number, row in enumerate(spool.rows()):
                group = groups[form_of_row[number]]
                if seen[group]:
                    tally.count(row)
                else:
                    seen[group] = 1
                    yield row

    def describe(self) -> str:
        what = f"in the column {self.key} " if self.key else ""
        return f"Removed near-duplicates {what}(similarity at least {self.threshold:g}), the first of each group kept"


class _Spool(Sequence[str]):
    """Rows in a temporary file; by index, what is compared of each."""

    def __init__(self, file: IO[bytes], shape: Shape, key: str | None) -> None:
        self._file = file
        self._shape: Shape = shape
        self._key = key
        self._offsets = array("q")

    def append(self, row: Row) -> None:
        self._offsets.append(self._file.tell())
        self._file.write(json.dumps([row.row_id, row.line, row.values, row.subjects, row.split]).encode() + b"\n")

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, index: Any) -> Any:
        self._file.seek(self._offsets[index])
        return joined_text(self._shape, json.loads(self._file.readline().decode())[2], self._key)

    def rows(self) -> Iterator[Row]:
        self._file.seek(0)
        for line in self._file:
            yield Row(*json.loads(line.decode()))
