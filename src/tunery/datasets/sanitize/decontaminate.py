"""``decontaminate``: take away rows that give away rows of evaluation sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field, PrivateAttr

from tunery.datasets.overlap import Overlap
from tunery.datasets.rows import Row
from tunery.datasets.sanitize import SANITIZERS, Evaluations, HeldOut, SanitizeStep, Sources, Tally, joined_text
from tunery.datasets.shapes import Shape
from tunery.errors import InvalidInput

__all__ = ["Decontaminate"]

_NAMED = 1000


@SANITIZERS.register("decontaminate")
class Decontaminate(SanitizeStep):
    """Take away rows that share a run of words with a row of an evaluation set; the record names both rows.

    Case, punctuation and white space do not count. An evaluation row of fewer words is compared as a whole.
    """

    removes_rows: ClassVar[bool] = True

    step: Literal["decontaminate"] = Field("decontaminate", description="Name of the step.")
    against: Evaluations
    words: int = Field(13, ge=3, le=100, description="Length of the run (GPT-3: 13 words).")
    common: int = Field(
        10, ge=1, description="A run that more evaluation rows than this share is common wording and does not count."
    )
    key: str | None = Field(None, description="Column to look at; none: all that a model would learn from.")

    _held_out: HeldOut | None = PrivateAttr(None)

    def prepare(self, sources: Sources) -> Decontaminate:
        ready = self.model_copy()
        ready._held_out = HeldOut.read(sources, self.against, joined_text)
        return ready

    def apply(self, rows: Iterable[Row], shape: Shape, tally: Tally) -> Iterator[Row]:
        if self._held_out is None:
            raise InvalidInput("decontaminate reads its evaluation sets in an import; here nothing can do that")
        overlap = Overlap(self._held_out.texts, self.words, self.common)
        matches: list[dict[str, Any]] = []
        tally.details |= {"evaluation_rows": len(self._held_out.texts), "matches": matches}
        for row in rows:
            found = overlap.find(joined_text(shape, row.values, self.key))
            if found is None:
                yield row
                continue
            reference, evaluation_row = self._held_out.names[found[0]]
            tally.count(row, reference)
            if len(matches) < _NAMED:
                matches.append(
                    {"row": row.row_id, "evaluation": reference, "evaluation_row": evaluation_row, "runs": found[1]}
                )

    def describe(self) -> str:
        return f"Took away rows that share {self.words} words in a row with {', '.join(self.against)}"
