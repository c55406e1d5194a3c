"""What a redacting step reports: what it looked at, what it found, and how much such detectors find at all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import BaseModel, Field

from tunery.datasets.pii import Detector
from tunery.datasets.sanitize import PreprocessingStep

__all__ = ["DetectorReport", "KindReport", "PiiReport", "detector_report", "measured", "pii_flags", "read_report"]

_FOUND, _SCANNED, _ROWS, _SAMPLES = "found ", "rows scanned by ", "rows", "samples "


class KindReport(BaseModel):
    """Precision and recall; none where it was not measured."""

    precision: float | None = None
    recall: float | None = None


class DetectorReport(BaseModel):
    """A detector that took part."""

    name: str
    version: str
    rows_scanned: int = 0
    coverage: float = Field(0.0, description="Part of the rows that it looked at.")
    measured: dict[str, KindReport] = Field(
        default_factory=dict, description="Precision and recall by kind; kinds that are missing were not measured."
    )
    measured_on: str = Field("", description="The texts that they were measured on.")


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
    if (own := getattr(detector, "measured", None)) is not None:
        return {"version": detector.version, "measured": own, "measured_on": getattr(detector, "measured_on", "")}
    known = measured()
    numbers = known["detectors"].get(f"{detector.name} {detector.version}", {})
    return {
        "version": detector.version,
        "measured": {kind: numbers[kind] for kind in detector.kinds if kind in numbers},
        "measured_on": f"{known['texts']} bundled texts, {known['set'][:12]}" if numbers else "",
    }


def pii_flags(
    steps: Iterable[PreprocessingStep], earlier: Mapping[str, bool | None] | None = None
) -> dict[str, bool | None]:
    """Return R1's ``piiDetected`` and ``piiRemoved``, as far as the steps that redact personal data can tell (PRV-03).

    Detected is none where no such step looked at every row and none found anything. Removed is none where nothing was
    found, and false where a kind that was found was only masked, hashed or given a pseudonym: that is still personal.

    Args:
        earlier: The flags of the rows that were there before; what is not known of them is not known of all.
    """
    detected: bool | None = None
    removed = True
    for step in steps:
        if step.step != "redact_pii":
            continue
        report = read_report(step.details, step.affected_samples)
        detected = True if detected or report.detected else report.detected if detected is None else detected
        actions, usual = step.parameters.get("actions", {}), step.parameters.get("action", "redact")
        removed &= all(actions.get(kind, usual) in ("redact", "drop_row") for kind in report.counts)
    flags = {"piiDetected": detected, "piiRemoved": removed if detected else None}
    return flags if earlier is None else _of_all(flags, earlier)


def _of_all(*parts: Mapping[str, bool | None]) -> dict[str, bool | None]:
    detected = [part["piiDetected"] for part in parts]
    removed = [part["piiRemoved"] for part in parts if part["piiDetected"] is not False]
    return {
        "piiDetected": True if True in detected else None if None in detected else False,
        "piiRemoved": False if False in removed else None if None in removed or not removed else True,
    }


def read_report(details: dict[str, Any], rows_affected: int) -> PiiReport:
    """Return the report that a step's record holds in its details."""
    rows = int(details.get(_ROWS, 0))
    return PiiReport(
        rows=rows,
        rows_affected=rows_affected,
        counts={name.removeprefix(_FOUND): n for name, n in details.items() if name.startswith(_FOUND)},
        samples={name.removeprefix(_SAMPLES): shown for name, shown in details.items() if name.startswith(_SAMPLES)},
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
