"""What the redacting steps have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from blake3 import blake3
from pydantic import Field, PrivateAttr

from tunery.datasets.pii import Detector
from tunery.datasets.pii.redaction import Action, Redactor
from tunery.datasets.pii.reports import detector_report
from tunery.datasets.rows import Row
from tunery.datasets.sanitize import SAMPLES, SanitizeStep, Sources, Tally
from tunery.datasets.shapes import Shape

__all__ = ["RedactingStep"]

_DRAWN = 2**32


class RedactingStep(SanitizeStep):
    """A step that finds and replaces in every text at any depth of a row, and in the names of nested fields."""

    removes_rows: ClassVar[bool] = True
    row_local: ClassVar[bool] = True

    action: Action = Field(
        "redact",
        description="What is done with a finding: `redact` (its kind in brackets), `mask`, `hash`, `pseudonym` (short, "
        "the same for the same identifier) or `drop_row`.",
    )
    actions: dict[str, Action] = Field(default_factory=dict, description="What is done for some kinds instead.")
    kinds: list[str] | None = Field(None, min_length=1, description="Kinds to look for; none: all.")

    _key: bytes | None = PrivateAttr(None)

    def detectors(self) -> list[Detector]:
        """Return what looks at every row."""
        raise NotImplementedError

    def sampled(self) -> tuple[list[Detector], float]:
        """Return what looks at a sample of the rows only, and how large that is, as a part of all."""
        return [], 0.0

    def telephone_regions(self) -> tuple[str, ...]:
        """Return the countries whose national numbers are known, as ISO codes."""
        return ("US",)

    def prepare(self, sources: Sources) -> RedactingStep:
        """Return the step with the tenant's key, where it hashes or gives pseudonyms."""
        if not {"hash", "pseudonym"} & {self.action, *self.actions.values()}:
            return self
        ready = self.model_copy()
        ready._key = sources.key("pseudonyms")
        return ready

    def apply(self, rows: Iterable[Row], shape: Shape, tally: Tally) -> Iterator[Row]:
        """Yield the rows, redacted, without those that are to go."""
        always, (sometimes, share) = self.detectors(), self.sampled()
        plain, deep = self._redactor(always), self._redactor([*sometimes, *always])
        tally.details["detectors"] = {each.name: detector_report(each) for each in (*always, *sometimes)}
        for row in rows:
            chosen = bool(sometimes) and _is_drawn(row.row_id, share)
            found: list[str] = []

            def report(kind: str, path: str, masked: str, row_id: str = row.row_id, found: list[str] = found) -> None:
                found.append(f"found {kind}")
                if len(shown := tally.details.setdefault(f"samples {kind}", [])) < SAMPLES:
                    shown.append({"row": row_id, "path": path, "text": masked[:200]})

            tally.counts["rows"] += 1
            for each in (*always, *sometimes) if chosen else always:
                tally.counts[f"rows scanned by {each.name}"] += 1
            values = (deep if chosen else plain).row(row.values, report)
            if found:
                tally.count(row, *found)
            if values is not None:
                yield row.with_values(values) if found else row

    def _redactor(self, detectors: list[Detector]) -> Redactor:
        return Redactor(
            detectors,
            self.actions,
            self.action,
            kinds=None if self.kinds is None else frozenset(self.kinds),
            key=self._key,
            regions=self.telephone_regions(),
        )

    def _named(self, what: str) -> str:
        deeds: dict[str, str] = {
            "redact": "replaced by the kind in brackets",
            "mask": "masked",
            "hash": "replaced by keyed hashes",
            "pseudonym": "replaced by pseudonyms",
            "drop_row": "taken away with their rows",
        }
        others = ", ".join(f"{kind} {deeds[action]}" for kind, action in sorted(self.actions.items()))
        return f"{what} {deeds[self.action]}{f' ({others})' if others else ''}; detectors miss some"


def _is_drawn(row_id: str, share: float) -> bool:
    """Draw a row by its id, so that the same rows are drawn whenever and wherever."""
    drawn = int.from_bytes(blake3(b"pii sample\n" + row_id.encode("utf-8", "replace")).digest(4), "big")
    return drawn < share * _DRAWN
