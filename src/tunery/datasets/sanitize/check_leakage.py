"""``check_leakage``: measure how much of an evaluation set stands among the rows, and stop where it is too much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field, PrivateAttr

from tunery.datasets.rows import Row
from tunery.datasets.sanitize import SANITIZERS, Evaluations, HeldOut, SanitizeStep, Sources, Tally
from tunery.datasets.shapes import Shape, input_of
from tunery.datasets.similarity import SIMILARITY, Similarity, distinct_forms
from tunery.errors import InvalidInput

__all__ = ["CheckLeakage"]

_NAMED = 1000
BATCH_CHARACTERS = 16_000_000


@SANITIZERS.register("check_leakage")
class CheckLeakage(SanitizeStep):
    """Measure how many rows of evaluation sets stand among the rows, exactly or nearly; none is taken away.

    What a model is asked is compared. The import's own test and validation rows need no check: near-duplicates are
    never dealt out to two sides, and where a column says the splits its record counts those that are (`leakingRows`).
    """

    removes_rows: ClassVar[bool] = False

    step: Literal["check_leakage"] = Field("check_leakage", description="Name of the step.")
    against: Evaluations
    on_leak: Literal["fail", "warn"] = Field(
        "fail", description="Too many leaked rows: `fail` the import, or `warn` in its record."
    )
    at_most: float = Field(0.0, ge=0, le=1, description="Share of the evaluation rows that may be leaked.")
    threshold: float = Field(SIMILARITY, ge=0.5, le=1, description="Least similarity of near-duplicates.")

    _held_out: HeldOut | None = PrivateAttr(None)

    def prepare(self, sources: Sources) -> CheckLeakage:
        ready = self.model_copy()
        ready._held_out = HeldOut.read(sources, self.against, input_of)
        return ready

    def apply(self, rows: Iterable[Row], shape: Shape, tally: Tally) -> Iterator[Row]:
        if self._held_out is None:
            raise InvalidInput("check_leakage reads its evaluation sets in an import; here nothing can do that")
        leaks: dict[int, tuple[str, bool]] = {}
        least = sum(map(len, self._held_out.texts))
        batch: list[Row] = []
        size = 0
        for row in rows:
            batch.append(row)
            size += len(input_of(shape, row.values))
            if size >= max(BATCH_CHARACTERS, least):
                self._compare(self._held_out.texts, batch, shape, leaks, tally)
                yield from batch
                batch, size = [], 0
        self._compare(self._held_out.texts, batch, shape, leaks, tally)
        self._conclude(self._held_out, leaks, tally)
        yield from batch

    def _compare(
        self, held_out: list[str], batch: list[Row], shape: Shape, leaks: dict[int, tuple[str, bool]], tally: Tally
    ) -> None:
        """Note for each evaluation row the first row that is like it, and whether it is the same."""
        count = len(held_out)
        forms, form_of = distinct_forms([*held_out, *(input_of(shape, row.values) for row in batch)])
        held: dict[int, list[int]] = {}
        ours: dict[int, list[int]] = {}
        for number, form in enumerate(form_of):
            (held if number < count else ours).setdefault(form, []).append(number)
        sides = [(form in held) + 2 * (form in ours) for form in range(len(forms))]
        near = Similarity(forms, self.threshold).pairs_across(sides)
        pairs = [(form, form) for form in held if form in ours]
        pairs += [pair for first, second in near for pair in ((first, second), (second, first))]
        touched: set[int] = set()
        for theirs, own in pairs:
            if theirs in held and own in ours:
                touched.update(ours[own])
                for number in held[theirs]:
                    if number not in leaks or (theirs == own and not leaks[number][1]):
                        leaks[number] = (batch[ours[own][0] - count].row_id, theirs == own)
        for number in sorted(touched):
            tally.count(batch[number - count])

    def _conclude(self, held_out: HeldOut, leaks: dict[int, tuple[str, bool]], tally: Tally) -> None:
        total = len(held_out.texts)
        share = len(leaks) / total if total else 0.0
        exact = sum(same for _, same in leaks.values())
        matches: list[dict[str, Any]] = [
            {
                "evaluation": held_out.names[number][0],
                "evaluation_row": held_out.names[number][1],
                "row": row,
                "exact": same,
            }
            for number, (row, same) in sorted(leaks.items())[:_NAMED]
        ]
        tally.details |= {
            "evaluation_rows": total, "exact": exact, "near": len(leaks) - exact, "share": round(share, 4),
            "too_many": share > self.at_most, "matches": matches,
        }  # fmt: skip
        if share > self.at_most and self.on_leak == "fail":
            named = ", ".join(f"{m['row']} is like {m['evaluation_row']} of {m['evaluation']}" for m in matches[:3])
            raise InvalidInput(
                f"{len(leaks)} of {total} evaluation rows ({share:.1%}) stand among the rows ({exact} exactly), "
                f"more than at_most allows: {named}. Put decontaminate before this step, or take them out of the file"
            )

    def describe(self) -> str:
        return (
            f"Compared the rows with {', '.join(self.against)}: near-duplicates from a similarity of {self.threshold:g}"
        )
