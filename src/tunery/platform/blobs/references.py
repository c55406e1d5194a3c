"""Which files the house still names: every column that may hold a file's digest says so with ``info=names_blobs()``."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tunery.errors import NotFound
from tunery.kit.clock import now
from tunery.platform.blobs.index import in_parts
from tunery.platform.blobs.tables import BlobRow
from tunery.platform.db import Base

__all__ = ["DOOMED", "hold_files", "named_digests", "names_of"]

_DIGEST = re.compile(r"[0-9a-f]{64}")
DOOMED = "doomed"
"""What stands under this key waits for its destruction: it is not collected before, and nobody needs it."""


def named_digests(session: Session) -> set[str]:
    """Return every digest that a row of the session's tenant names; some may be of no file."""
    return {digest for digest, _, _ in _names(session, {})}


def names_of(session: Session, digests: Collection[str]) -> dict[str, list[str]]:
    """Return by whom each of these files is needed, such as ``chat:1.0.0``; files that nobody needs are left out."""
    found: dict[str, set[tuple[type[Any], str]]] = defaultdict(set)
    for digest, table, row_id in _names(session, {DOOMED}) if digests else ():
        if digest in digests:
            found[digest].add((table, row_id))
    return {digest: sorted(_told(session, *row) for row in found[digest]) for digest in sorted(found)}


def hold_files(session: Session, digests: Iterable[str]) -> None:
    """Hold the rows of files that this transaction is about to name; destruction and collection wait, and see it.

    Raises:
        NotFound: One was destroyed or collected a moment ago.
    """
    for part in in_parts(sorted({*digests})):
        rows = sa.select(BlobRow.digest).where(BlobRow.digest.in_(part)).order_by(BlobRow.digest).with_for_update()
        if gone := {*part} - {*session.scalars(rows)}:
            raise NotFound(f"file {min(gone)} was destroyed or collected at this moment; send it again")
        # Collection looks at the time once more when it has waited for the row.
        session.execute(sa.update(BlobRow).where(BlobRow.digest.in_(part)).values(touched_at=now()))


def _names(session: Session, without: Collection[str]) -> Iterator[tuple[str, type[Any], str]]:
    for mapper in Base.registry.mappers:
        for attribute in mapper.column_attrs:
            if as_long_as := attribute.columns[0].info.get("names_blobs"):
                table = mapper.class_
                column = getattr(table, attribute.key)
                counting = sa.select(table.id, column).where(column.is_not(None), as_long_as(table))
                for row_id, value in session.execute(counting):
                    for digest in _digests_in(value, without):
                        yield digest, table, row_id


def _told(session: Session, table: type[Any], row_id: str) -> str:
    row = session.get(table, row_id)
    return str(getattr(row, "reference", f"{table.__tablename__} {row_id}"))


def _digests_in(value: Any, without: Collection[str]) -> Iterator[str]:
    if isinstance(value, str):
        if _DIGEST.fullmatch(value):
            yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in without:
                yield from _digests_in(item, without)
    elif isinstance(value, list):
        for item in value:
            yield from _digests_in(item, without)
