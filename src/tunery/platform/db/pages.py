"""Rows by their id, and lists in pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tunery.errors import NotFound
from tunery.kit.ids import parse_id

__all__ = ["Page", "page_of", "row_of"]

Item = TypeVar("Item")


@dataclass(frozen=True)
class Page(Generic[Item]):
    """One page of a list: the items, how many there are in all, and where this page lies."""

    items: Sequence[Item]
    total: int
    limit: int
    offset: int


def page_of(session: Session, statement: sa.Select[Any], limit: int = 50, offset: int = 0) -> Page[Any]:
    """Run an ORM select of one entity as a page; ``limit`` is capped at 1,000."""
    limit = max(1, min(limit, 1000))
    entity = statement.column_descriptions[0]["entity"]
    total = session.scalar(statement.with_only_columns(sa.func.count(entity.id)).order_by(None)) or 0
    items = session.scalars(statement.limit(limit).offset(offset)).all()
    return Page(items, total, limit, offset)


def row_of(session: Session, entity: type[Item], row_id: str, noun: str, hint: str) -> Item:
    """Return the row with an id as somebody wrote it. Raises: NotFound: there is no such noun; the hint says why."""
    known = parse_id(row_id)
    row = session.get(entity, known) if known else None
    if row is None:
        raise NotFound(f"there is no {noun} {row_id[:100]!r}; {hint}")
    return row
