"""One answer where findings overlap, the same whatever order they come in."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

from tunery.datasets.pii import Finding

__all__ = ["outside", "resolve"]


def resolve(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings that do not overlap, by their place.

    Of two that overlap the surer stays, then the longer, then the one further left, then the first by name. What the
    other covers beyond it is covered too, unless it reaches over several.
    """
    placed = sorted(set(findings), key=lambda f: (f.start, f.end, f.kind))
    if all(one.end <= other.start for one, other in pairwise(placed)):
        return placed
    kept: list[Finding] = []
    starts: list[int] = []
    ends: list[int] = []
    lost: list[Finding] = []
    for found in sorted(placed, key=lambda f: (-f.confidence, f.start - f.end)):
        first, last = bisect_right(ends, found.start), bisect_left(starts, found.end)
        if first < last:
            lost.append(found)
        else:
            for places, value in ((starts, found.start), (ends, found.end)):
                places.insert(first, value)
            kept.insert(first, found)
    for found in lost:
        first, last = bisect_right(ends, found.start), bisect_left(starts, found.end)
        if last - first == 1:
            starts[first], ends[first] = min(starts[first], found.start), max(ends[first], found.end)
            kept[first] = Finding(kept[first].kind, starts[first], ends[first], kept[first].confidence)
    return kept


def outside(findings: Iterable[Finding], taken: Sequence[tuple[int, int]]) -> list[Finding]:
    """Return what of the findings lies outside stretches that are in order and do not overlap."""
    ends = [end for _, end in taken]
    left: list[Finding] = []
    for found in findings:
        start, place = found.start, bisect_right(ends, found.start)
        while place < len(taken) and taken[place][0] < found.end:
            if start < taken[place][0]:
                left.append(Finding(found.kind, start, taken[place][0], found.confidence))
            start, place = taken[place][1], place + 1
        if start < found.end:
            left.append(Finding(found.kind, start, found.end, found.confidence))
    return left
