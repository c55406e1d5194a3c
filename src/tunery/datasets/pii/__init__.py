"""Personal data and secrets in texts: detectors as plug-ins, what they found, and what is done about it.

A detector is a plug-in (how to add one: ADDING.md beside this file). Built in are ``patterns`` (layer 1: patterns,
check digits and context, fast enough for every row), ``secrets`` (keys, tokens, passwords) and ``entities`` (layer 2:
names and places through a language model; slow, and it misses many).

No detector finds everything. Whoever shows findings shows the detector's version and measured recall beside them, and
never says "clean".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tunery.plugins import Registry

__all__ = ["DETECTORS", "Detector", "Finding"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A stretch of a text that identifies a person or opens a door.

    Attributes:
        kind: What it is, such as ``EMAIL``: upper-case letters, digits and underscores.
        start: Its first character, counted in the Python string.
        end: The character after its last.
        confidence: From 0 to 1; not a probability, but greater is surer.
    """

    kind: str
    start: int
    end: int
    confidence: float


class Detector(Protocol):
    """Finds things of some kinds in a text, in time linear in its length.

    Attributes:
        name: The name under which it is registered.
        version: Changed whenever the same text may give other findings.
        kinds: What it can find.
    """

    name: str
    version: str
    kinds: tuple[str, ...]

    def find(self, text: str) -> list[Finding]:
        """Return what is in the text, in any order, overlaps included."""


DETECTORS: Registry[Callable[[], Detector]] = Registry(
    "detector", tuple(f"{__name__}.{module}" for module in ("patterns", "secrets", "entities"))
)
"""What makes each detector with its default options, by name; packages add theirs in the group ``tunery.detector``."""
