"""Query parameters that many routes share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

__all__ = ["Limit", "Offset"]

Limit = Annotated[int, Query(ge=1, le=1000, description="Most items to return.")]
Offset = Annotated[int, Query(ge=0, lt=2**31, description="Items to pass over before the first one.")]
