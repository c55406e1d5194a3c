"""What became of versions whose rows were erased: each has one successor at most, and the last of a chain stands.

A successor has the rows that are left in the order in which they stood, so a place in the one is a place in the other,
less the erased rows before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa

from tunery.datasets.tables import DatasetVersion
from tunery.platform.db import TenantSession

__all__ = ["Link", "chains_to", "hold_last", "last_of"]


class Link(NamedTuple):
    """A version in a chain: its ``name:version``, and the id of the version that stands at the end."""

    reference: str
    standing_id: str


def chains_to(session: TenantSession, versions: Iterable[DatasetVersion]) -> dict[str, Link]:
    """Return these versions, which stand, and all erased ones that they follow, by their ids."""
    ends = [*versions]
    erased = sa.select(DatasetVersion.id, DatasetVersion.version, DatasetVersion.successor_id).where(
        DatasetVersion.dataset_id.in_({version.dataset_id for version in ends}),
        DatasetVersion.successor_id.is_not(None),
    )
    before = {successor_id: (version_id, number) for version_id, number, successor_id in session.execute(erased)}
    found: dict[str, Link] = {}
    for end in ends:
        step: tuple[str, int] | None = (end.id, end.version)
        while step is not None:
            found[step[0]] = Link(f"{end.dataset.name}:{step[1]}", end.id)
            step = before.get(step[0])
    return found


def last_of(session: TenantSession, version_id: str) -> DatasetVersion | None:
    """Return the version, or what is left of it if rows of it were erased; None if all were."""
    return _last(session, version_id, hold=False)


def hold_last(session: TenantSession, version_id: str) -> DatasetVersion | None:
    """Return the same, and let nobody erase rows of it until this transaction ends."""
    return _last(session, version_id, hold=True)


def _last(session: TenantSession, version_id: str, *, hold: bool) -> DatasetVersion | None:
    while True:
        statement = sa.select(DatasetVersion).where(DatasetVersion.id == version_id)
        if hold:
            statement = statement.with_for_update(read=True, of=DatasetVersion)
        version = session.scalars(statement.execution_options(populate_existing=True)).one()
        if version.status != "erased":
            return version
        if version.successor_id is None:
            return None
        version_id = version.successor_id
