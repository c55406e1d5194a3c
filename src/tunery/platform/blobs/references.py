"""Which files the house still names: every column that may hold a file's digest says so with ``info=names_blobs()``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tunery.platform.db import Base

__all__ = ["named_digests"]

_DIGEST = re.compile(r"[0-9a-f]{64}")


def named_digests(session: Session) -> set[str]:
    """Return every digest that a row of the session's tenant names; some may be of no file."""
    found: set[str] = set()
    for mapper in Base.registry.mappers:
        for attribute in mapper.column_attrs:
            if as_long_as := attribute.columns[0].info.get("names_blobs"):
                column = getattr(mapper.class_, attribute.key)
                counting = sa.select(column).where(column.is_not(None), as_long_as(mapper.class_))
                for value in session.scalars(counting):
                    found.update(_digests_in(value))
    return found


def _digests_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if _DIGEST.fullmatch(value):
            yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _digests_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _digests_in(item)
