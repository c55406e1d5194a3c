"""``redact_pii``: replace what identifies persons."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tunery.datasets.pii import DETECTORS, Detector
from tunery.datasets.pii.custom import CustomDetector
from tunery.datasets.pii.entities import EntityDetector
from tunery.datasets.pii.patterns import PatternDetector
from tunery.datasets.pii.steps import RedactingStep
from tunery.datasets.sanitize import SANITIZERS
from tunery.errors import InvalidInput, NotFound

__all__ = ["Entities", "RedactPii"]


class Entities(BaseModel):
    """Names of persons and places, through a spaCy model. Slow (about 0.003 MB/s), and it misses many."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="An installed spaCy model's name, or its folder. Never downloaded.")
    language: str = Field("en", pattern=r"^[a-z]{2,3}$", description="The model's language, as an ISO code.")
    sample_rate: float = Field(1.0, gt=0, le=1, description="Part of the rows that are looked at.")


@SANITIZERS.register("redact_pii")
class RedactPii(RedactingStep):
    """Replace e-mail addresses, telephone, card, account and national numbers and the like. No detector finds all."""

    step: Literal["redact_pii"] = Field("redact_pii", description="Name of the step.")
    regions: list[str] = Field(
        ["US", "GB", "DE", "FR", "IN", "BR"],
        min_length=1,
        max_length=20,
        description="Countries whose national telephone numbers are looked for, as ISO codes, the likeliest first.",
    )
    thorough: bool = Field(
        False,
        description="Whether numbers count too that no word nearby tells and that chance makes often, such as nine "
        "digits; finds more, and takes much for personal that is not.",
    )
    patterns: dict[str, str] = Field(
        default_factory=dict,
        description="Formats of your own by kind, such as `{MEDICAL_RECORD: 'MRN[- ]?[0-9]{7}'}`; in RE2's syntax, a "
        "group named `id` is what counts.",
    )
    entities: Entities | None = Field(None, description="Names of persons and places too; needs tunery[pii].")
    detectors_too: list[str] = Field(default_factory=list, description="Detectors of other packages, by name.")

    @field_validator("regions")
    @classmethod
    def _are_countries(cls, regions: list[str]) -> list[str]:
        for region in regions:
            if not (len(region) == 2 and region.isascii() and region.isupper()):
                raise ValueError(f"{region!r} is no country; write two capitals, such as DE")
        return regions

    @model_validator(mode="after")
    def _knows_its_kinds(self) -> RedactPii:
        try:
            known = {kind for detector in self.plain_detectors() for kind in detector.kinds}
        except (InvalidInput, NotFound) as error:
            raise ValueError(error.message) from error
        known |= set(EntityDetector.kinds) if self.entities else set()
        if unknown := sorted({*(self.kinds or []), *self.actions} - known):
            raise ValueError(f"no detector here finds {', '.join(unknown)}; known kinds: {', '.join(sorted(known))}")
        return self

    def detectors(self) -> list[Detector]:
        everywhere = self.plain_detectors()
        if self.entities is not None and self.entities.sample_rate == 1:
            everywhere.append(EntityDetector(self.entities.model, self.entities.language))
        return everywhere

    def sampled(self) -> tuple[list[Detector], float]:
        if self.entities is None or self.entities.sample_rate == 1:
            return [], 0.0
        return [EntityDetector(self.entities.model, self.entities.language)], self.entities.sample_rate

    def telephone_regions(self) -> tuple[str, ...]:
        return tuple(self.regions)

    def describe(self) -> str:
        return self._named("Personal data that was found was")

    def plain_detectors(self) -> list[Detector]:
        """Return the detectors that need no model."""
        own: list[Detector] = [CustomDetector(self.patterns)] if self.patterns else []
        patterns = PatternDetector(tuple(self.regions), thorough=self.thorough)
        return [patterns, *own, *(DETECTORS.get(name)() for name in self.detectors_too)]
