"""Sanitising steps as plug-ins: each file here registers one. How to add one: ADDING.md beside it.

A step is a pydantic model: its fields are the parameters a recipe may give, its ``apply`` does the work on a stream of
rows. The recipe lists steps in order; each leaves a record of what it did (R1's ``preprocessingSteps``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pkgutil import iter_modules
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from tunery.datasets.rows import Row
from tunery.datasets.shapes import Shape
from tunery.kit.clock import now
from tunery.plugins import Registry

__all__ = ["SANITIZERS", "PreprocessingStep", "Sanitation", "SanitizeStep", "Tally"]


class Tally:
    """Counts the rows that a step took away or changed."""

    def __init__(self) -> None:
        self.affected = 0
        self.finished_at: datetime | None = None


class SanitizeStep(BaseModel):
    """A step and its parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    removes_rows: ClassVar[bool] = False

    step: str = Field(description="Name of the step.")

    def apply(self, rows: Iterable[Row], shape: Shape, tally: Tally) -> Iterator[Row]:
        """Yield the rows that stay, in order, changed or not; keep their ids. Count what was affected."""
        raise NotImplementedError

    def describe(self) -> str:
        """Say in a sentence what was done, for the provenance record."""
        raise NotImplementedError


SANITIZERS: Registry[type[SanitizeStep]] = Registry(
    "sanitizer", tuple(f"{__name__}.{module.name}" for module in iter_modules(__path__))
)
"""Every known step by name; a package adds its own by an entry point in the group ``tunery.sanitizer``."""


class PreprocessingStep(BaseModel):
    """What one step did to a dataset version, as R1's provenance record has it."""

    step: str
    description: str
    affected_samples: int
    timestamp: datetime
    parameters: dict[str, Any] = Field(default_factory=dict)


class Sanitation:
    """The steps of one import, in order."""

    def __init__(self, steps: Iterable[SanitizeStep], shape: Shape) -> None:
        self._steps = [(step, Tally()) for step in steps]
        self._shape = shape

    def run(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows that are left after all steps."""
        for step, tally in self._steps:
            rows = _timed(step.apply(rows, self._shape, tally), tally)
        yield from rows

    def records(self) -> list[PreprocessingStep]:
        """Return what each step did; call it when ``run`` has come to its end."""
        return [
            PreprocessingStep(
                step=step.step,
                description=step.describe(),
                affected_samples=tally.affected,
                timestamp=tally.finished_at or now(),
                parameters=step.model_dump(mode="json", exclude={"step"}, exclude_defaults=True),
            )
            for step, tally in self._steps
        ]


def _timed(rows: Iterator[Row], tally: Tally) -> Iterator[Row]:
    yield from rows
    tally.finished_at = now()
