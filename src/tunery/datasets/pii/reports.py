"""What a redacting step reports: what it looked at, what it found, and how much such detectors find at all."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import BaseModel, Field

from tunery.datasets.pii import Detector

__all__ = ["DetectorReport", "KindReport", "PiiReport", "detector_report", "measured", "read_report"]

_FOUND, _SCANNED, _ROWS = "found ", "rows scanned by ", "rows"


class KindReport(BaseModel):
    """Precision and recall on the bundled labelled set; none where it was not measured."""

    precision: float | None = None
    recall: float | None = None


class DetectorReport(BaseModel):
    """A detector that took part."""

    name: str
    version: str
    rows_scanned: int = 0
    coverage: float = Field(0.0, description="Part of the rows that it looked at.")
    measured: dict[str, KindReport] = Field(
        default_factory=dict, description="By kind, on the labelled set; kinds that are missing were not measured."
    )


class PiiReport(BaseModel):
    """What was found and done. Nothing found means that these detectors found nothing, never that nothing is there."""

    rows: int
    rows_affected: int
    counts: dict[str, int] = Field(description="Findings by kind.")
    samples: dict[str, list[dict[str, str]]] = Field(description="By kind, a few: row, path and masked text.")
    detectors: list[DetectorReport]

    @property
    def detected(self) -> bool | None:
        """Whether anything was found; none if nothing was, and not every row was looked at."""
        if self.counts:
            return True
        return None if any(each.coverage < 1 for each in self.detectors) or not self.detectors else False


@cache
def measured() -> dict[str, Any]:
    """Return the numbers of the built-in detectors on the bundled labelled set, with its digest."""
    text = files("tunery.datasets.pii.labelled").joinpath("measured.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def detector_report(detector: Detector) -> dict[str, Any]:
    """Return name, version and measured numbers of a detector as plain JSON; another version's are not shown as its."""
    numbers = measured()["detectors"].get(f"{detector.name} {detector.version.partition(':')[0]}", {})
    return {
        "version": detector.version,
        "measured": {kind: numbers[kind] for kind in detector.kinds if kind in numbers},
    }


def read_report(details: dict[str, Any], rows_affected: int) -> PiiReport:
    """Return the report that a step's record holds in its details."""
    rows = int(details.get(_ROWS, 0))
    return PiiReport(
        rows=rows,
        rows_affected=rows_affected,
        counts={name.removeprefix(_FOUND): n for name, n in details.items() if name.startswith(_FOUND)},
        samples=details.get("samples", {}),
        detectors=[
            DetectorReport(
                name=name,
                rows_scanned=(scanned := int(details.get(_SCANNED + name, 0))),
                coverage=scanned / rows if rows else 0.0,
                **about,
            )
            for name, about in details.get("detectors", {}).items()
        ],
    )
