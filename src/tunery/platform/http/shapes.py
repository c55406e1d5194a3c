"""The shapes every answer shares."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

__all__ = ["Camel", "Envelope"]

Data = TypeVar("Data")


class Camel(BaseModel):
    """Base of request and response shapes: snake_case in Python, camelCase in JSON; unknown fields are refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True, extra="forbid")


class Envelope(BaseModel, Generic[Data]):
    """What a success answers with: ``{"success": true, "data": ..., "meta": ...}``."""

    success: bool = True
    data: Data
    meta: dict[str, Any] | None = None
