"""Make a version visible: one transaction with its row, its files, its place in the lineage, and who did it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tunery import audit
from tunery.datasets.tables import Dataset, DatasetVersion
from tunery.datasets.versions.writing import Written, list_files
from tunery.errors import IntegrityError, NotFound, StaleState
from tunery.kit.actor import Actor
from tunery.kit.ids import new_id
from tunery.lineage.operations import Node, link
from tunery.platform.db import TenantSession
from tunery.platform.events import emit
from tunery.platform.ground import Ground

__all__ = ["Change", "node_of", "record_version", "while_it_stands"]


@dataclass(frozen=True)
class Change:
    """What was done, and to what.

    Attributes:
        kind: ``import``, ``append``, ``merge``, ``delete``, ``restore``, ``compact`` or ``erase``.
        key: Names the change among those of the dataset; the same again is the same version.
        parent: The version it was done to; it must still be the newest. None: the change needs none, or there is none.
        source: Node of the lineage it came from, where that is no version.
        columns: Further columns of the version's row.
    """

    kind: str
    key: str
    parent: DatasetVersion | None = None
    source: Node | None = None
    columns: dict[str, Any] = field(default_factory=dict)


def record_version(
    session: TenantSession,
    actor: Actor,
    dataset: Dataset,
    written: Written,
    change: Change,
    *,
    current: bool = True,
) -> DatasetVersion:
    """Make what was written a version of the dataset, and the one that its name means where it is to be ``current``.

    Raises:
        StaleState: Another version came since the parent; make the change anew. NotFound: a file was collected.
    """
    session.refresh(dataset, with_for_update=True)  # two changes of one dataset take their numbers in turn
    parent = change.parent
    follows = parent is not None or change.kind in ("append", "merge")
    if follows and (parent.version if parent else 0) != dataset.current_version:
        raise StaleState(f"{dataset.name} got version {dataset.current_version} meanwhile; try again")
    dataset.last_version += 1
    if current:
        dataset.current_version = dataset.last_version
    row = DatasetVersion(
        id=new_id(),
        dataset=dataset,
        version=dataset.last_version,
        parent=parent.version if parent else None,
        change=change.kind,
        import_id=change.key,
        delta_version=written.number,
        digest=written.digest,
        rows=written.rows,
        total_samples=sum(written.rows.values()),
        size_bytes=written.size_bytes,
        created_by=actor.name,
        **change.columns,
    )
    session.add(row)
    session.flush()
    list_files(session, row, written.files)
    node = node_of(row)
    for source in [change.source, node_of(parent) if parent else None]:
        if source is not None:
            link(session, source, node, "derived_from")
    audit.record(session, actor, f"dataset_{_DONE[change.kind]}", row.reference, digest=row.digest, rows=row.rows)
    emit(session, actor, f"datasets.{_DONE[change.kind]}", f"datasets/{row.reference}", {"version_id": row.id})
    return row


@contextmanager
def while_it_stands(ground: Ground, parent: DatasetVersion | None) -> Iterator[None]:
    """Read the files of a parent. Raises: StaleState: they were missing, for rows of it were erased meanwhile."""
    try:
        yield
    except (NotFound, IntegrityError) as error:
        if parent is not None:
            with ground.database.session(parent.tenant_id, read_only=True) as session:
                if session.get_one(DatasetVersion, parent.id).status == "erased":
                    raise StaleState(f"rows of {parent.reference} were erased meanwhile; try again") from error
        raise


def node_of(version: DatasetVersion) -> Node:
    """Return a version's node of the lineage."""
    return Node("dataset_version", version.id, version.reference, version.digest)


_DONE = {
    "import": "imported",
    "append": "appended",
    "merge": "merged",
    "delete": "rows_deleted",
    "restore": "restored",
    "compact": "compacted",
    "erase": "erased",
}
