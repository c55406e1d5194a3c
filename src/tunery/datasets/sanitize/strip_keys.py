"""``strip_keys``: take columns away."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field

from tunery.datasets.rows import Row
from tunery.datasets.sanitize import SANITIZERS, SanitizeStep, Tally
from tunery.datasets.shapes import SHAPES, Shape
from tunery.errors import InvalidInput

__all__ = ["StripKeys", "without_keys"]


def without_keys(values: dict[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """Return the row without those columns."""
    return {name: value for name, value in values.items() if name not in keys}


@SANITIZERS.register("strip_keys")
class StripKeys(SanitizeStep):
    """Take columns away, such as names or e-mail addresses that stand beside the text."""

    row_local: ClassVar[bool] = True

    step: Literal["strip_keys"] = Field("strip_keys", description="Name of the step.")
    keys: list[str] = Field(min_length=1, description="Columns to take away.")

    def apply(self, rows: Iterable[Row], shape: Shape, tally: Tally) -> Iterator[Row]:
        keys = frozenset(self.keys)
        if needed := keys & set(SHAPES[shape]):
            raise InvalidInput(f"strip_keys would take away {min(needed)!r}, which {shape} rows are made of")
        for row in rows:
            if keys.isdisjoint(row.values):
                yield row
            else:
                tally.count(row, *keys & row.values.keys())
                yield row.with_values(without_keys(row.values, keys))

    def check(self, tally: Tally) -> None:
        if unknown := [key for key in self.keys if not tally.counts[key]]:
            raise InvalidInput(f"strip_keys: no row has the column {unknown[0]!r}; correct its name, or leave it out")

    def describe(self) -> str:
        return f"Took away the columns {', '.join(self.keys)}"
