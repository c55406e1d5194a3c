"""``redact_secrets``: replace keys, tokens and passwords."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tunery.datasets.pii import Detector
from tunery.datasets.pii.secrets import SecretDetector
from tunery.datasets.pii.steps import RedactingStep
from tunery.datasets.sanitize import SANITIZERS

__all__ = ["RedactSecrets"]


@SANITIZERS.register("redact_secrets")
class RedactSecrets(RedactingStep):
    """Replace keys of known services, key blocks, signed tokens, passwords and random strings. None finds all."""

    step: Literal["redact_secrets"] = Field("redact_secrets", description="Name of the step.")

    @model_validator(mode="after")
    def _knows_its_kinds(self) -> RedactSecrets:
        if unknown := sorted({*(self.kinds or []), *self.actions} - set(SecretDetector.kinds)):
            raise ValueError(f"nothing here finds {', '.join(unknown)}; known kinds: {', '.join(SecretDetector.kinds)}")
        return self

    def detectors(self) -> list[Detector]:
        return [SecretDetector()]

    def describe(self) -> str:
        return self._named("Secrets that were found were")
