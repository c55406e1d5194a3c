"""One base in one kind of engine: the engine that answers now, those that finish their last answers, and failures."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tunery.errors import FormatInvalid, IntegrityError, MissingExtra, NotFound, Refused, TuneryError, UnsafeFormat
from tunery.inference.ports import RunningEngine
from tunery.serving.targets import EngineKey, Member

__all__ = ["EngineGroup", "HeldEngine"]

_LASTING = (FormatInvalid, IntegrityError, MissingExtra, NotFound, Refused, UnsafeFormat)
"""Errors that trying again will not mend; ``SignatureInvalid`` is a ``Refused``."""

_TRIES_OF_NEW, _TRIES_OF_PROVEN = 2, 5
_LONGEST_PAUSE_SECONDS = 60.0
_STABLE_SECONDS = 60.0
_DRAIN_SECONDS = 600.0


@dataclass(eq=False)
class HeldEngine:
    """A running engine, what it holds, and how many requests it answers."""

    engine: RunningEngine
    members: frozenset[Member]
    in_flight: int = 0
    started_at: float = field(default_factory=time.monotonic)
    drained_by: float = 0.0


@dataclass(eq=False)
class EngineGroup:
    """What the pool knows of one engine key. Every field is guarded by the pool's lock.

    Attributes:
        current: The engine that new requests go to.
        draining: Engines that were replaced and still write answers.
        building: Whether a thread starts an engine at this moment.
        asked: Whether a request waits for an engine.
        tries: Failed starts by member.
        refused: What will not be tried again, with the reason.
        failures: Starts that failed and engines that ended early, in a row.
        retry_at: When the next start is due, on ``time.monotonic``.
        trouble: Why what answered before does not answer now, for people.
    """

    key: EngineKey
    current: HeldEngine | None = None
    draining: list[HeldEngine] = field(default_factory=list)
    building: bool = False
    asked: bool = False
    tries: dict[Member, int] = field(default_factory=dict)
    refused: dict[Member, str] = field(default_factory=dict)
    failures: int = 0
    retry_at: float = 0.0
    trouble: str | None = None

    def holds(self, member: Member) -> bool:
        """Tell whether a live engine holds the member."""
        return self.current is not None and member in self.current.members

    def next_members(self, needed: Collection[Member], proven: Collection[Member]) -> frozenset[Member] | None:
        """Return what the next engine shall hold, or None where the present one will do.

        Members that answered before come together; new ones join one at a time, so that a failure has one culprit.
        """
        held = self.current.members if self.current else frozenset()
        usable = [member for member in needed if member not in self.refused]
        trusted = {member for member in usable if member in held or member in proven}
        new = sorted((m for m in usable if m not in trusted), key=lambda m: m.version_id)
        newcomers = new[:1] if trusted <= held else []
        wanted = frozenset({*trusted, *newcomers})
        return None if wanted <= held else wanted

    def replace(self, engine: RunningEngine, members: frozenset[Member]) -> None:
        """Send new requests to another engine and let the present one finish."""
        self.retire()
        self.current = HeldEngine(engine, members)
        self.trouble, self.retry_at, self.asked = None, 0.0, False
        for member in members:
            self.tries.pop(member, None)

    def retire(self) -> None:
        """Send no more requests to the present engine."""
        if self.current is not None:
            self.current.drained_by = time.monotonic() + _DRAIN_SECONDS
            self.draining.append(self.current)
            self.current = None

    def notice_death(self) -> None:
        """Look whether the present engine still lives; where not, its restart is due after a pause."""
        if self.current is None:
            return
        age = time.monotonic() - self.current.started_at
        if self.current.engine.alive():
            if age > _STABLE_SECONDS:
                self.failures = 0
            return
        self.draining.append(self.current)
        log_name = self.current.engine.log_path.name
        self.current, self.asked = None, True
        self._pause(f"the engine ended and is started again (log: {log_name})")

    def is_due(self) -> bool:
        """Tell whether the pause after a failure is over."""
        return time.monotonic() >= self.retry_at

    def blame(self, faults: Mapping[Member, TuneryError], new: Collection[Member]) -> None:
        """Note a start that failed: what cannot get better is refused, the rest is tried again after a pause.

        Args:
            faults: The members to blame, with their errors.
            new: Members that never answered before; they get fewer tries.
        """
        for member, fault in faults.items():
            self.tries[member] = self.tries.get(member, 0) + 1
            allowed = _TRIES_OF_NEW if member in new else _TRIES_OF_PROVEN
            if isinstance(fault, _LASTING) or self.tries[member] >= allowed:
                self.refused[member] = fault.message
        proven_fails = any(member not in new for member in faults)
        self._pause("; ".join(sorted({fault.message for fault in faults.values()})) if proven_fails else self.trouble)
        if all(member in self.refused for member in faults):
            self.retry_at = 0.0

    def forgive(self, member: Member) -> None:
        """Try a member again from the start, because someone asked for it anew."""
        self.refused.pop(member, None)
        self.tries.pop(member, None)
        self.failures, self.retry_at = 0, 0.0

    def finished(self) -> list[HeldEngine]:
        """Take out the replaced engines that have written their last answer, or had time enough."""
        late = time.monotonic()
        done = [h for h in self.draining if h.in_flight == 0 or late > h.drained_by or not h.engine.alive()]
        self.draining = [held for held in self.draining if held not in done]
        return done

    def _pause(self, trouble: str | None) -> None:
        self.failures += 1
        self.trouble = trouble
        self.retry_at = time.monotonic() + min(2.0 ** (self.failures - 1), _LONGEST_PAUSE_SECONDS)
