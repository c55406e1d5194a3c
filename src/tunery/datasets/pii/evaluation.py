"""How much of what is there a detector finds, and how much of what it finds is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tunery.datasets.pii import Detector, Finding
from tunery.datasets.pii.labelled import Labelled, digest_of, labelled_set
from tunery.datasets.pii.overlaps import resolve
from tunery.datasets.pii.patterns import PatternDetector
from tunery.datasets.pii.secrets import SecretDetector

__all__ = ["Measured", "measure", "measure_builtins"]


@dataclass(frozen=True)
class Measured:
    """Precision and recall for one kind; a finding is right where it overlaps a label of its kind.

    Attributes:
        labels: How many there are. found: How many of them were found. findings: How many findings. right: How many of
            these are right.
    """

    labels: int
    found: int
    findings: int
    right: int

    @property
    def recall(self) -> float | None:
        """The part of the labels that was found; none without labels."""
        return self.found / self.labels if self.labels else None

    @property
    def precision(self) -> float | None:
        """The part of the findings that is right; none without findings."""
        return self.right / self.findings if self.findings else None


def measure(rows: Iterable[Labelled], find: Callable[[str], list[Finding]]) -> dict[str, Measured]:
    """Run a detector over labelled texts and return its numbers by kind."""
    labels, found, findings, right = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        answers = find(row.text)
        for kind, start, end in row.spans:
            labels[kind] += 1
            found[kind] += any(a.kind == kind and a.start < end and start < a.end for a in answers)
        for answer in answers:
            findings[answer.kind] += 1
            right[answer.kind] += any(
                answer.kind == kind and answer.start < end and start < answer.end for kind, start, end in row.spans
            )
    kinds = sorted(labels | findings)
    return {kind: Measured(labels[kind], found[kind], findings[kind], right[kind]) for kind in kinds}


def measure_builtins() -> dict[str, Any]:
    """Measure the built-in detectors of layer 1 on the bundled set, as ``labelled/measured.json`` holds it."""
    rows = labelled_set()
    detectors: list[Detector] = [PatternDetector(), PatternDetector(thorough=True), SecretDetector()]
    return {
        "set": digest_of(rows),
        "texts": len(rows),
        "detectors": {
            f"{each.name} {each.version}": {
                kind: {"precision": _rounded(numbers.precision), "recall": _rounded(numbers.recall)}
                for kind, numbers in measure(rows, _resolved(each)).items()
                if numbers.labels and kind in each.kinds
            }
            for each in detectors
        },
    }


def _resolved(detector: Detector) -> Callable[[str], list[Finding]]:
    return lambda text: resolve(detector.find(text))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
