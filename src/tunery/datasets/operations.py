"""Use cases of datasets: find versions, read their rows. Making one is in ``imports.py``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import selectinload

from tunery import audit
from tunery.datasets.inspection import BadLine, Findings, inspect_file
from tunery.datasets.sanitize import SANITIZERS
from tunery.datasets.splits import SPLITS
from tunery.datasets.tables import Dataset, DatasetTag, DatasetVersion
from tunery.datasets.versions.contents import read_rows
from tunery.datasets.versions.row_files import StoredRow
from tunery.datasets.versions.successors import hold_last
from tunery.datasets.views import DatasetInspect, SanitizerView
from tunery.errors import Erased, InvalidInput, NotFound
from tunery.identity.operations import own_reference
from tunery.kit.actor import Actor
from tunery.kit.clock import parse_time
from tunery.kit.ids import parse_id
from tunery.kit.references import check_name
from tunery.platform.db import Page, TenantSession, page_of
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import scratch_folder

__all__ = [
    "find_version",
    "get_dataset",
    "hold_version",
    "inspect_upload",
    "list_datasets",
    "list_sanitizers",
    "list_versions",
    "materialize_split",
    "newest_version",
    "quarantined_rows",
    "read_split",
    "resolve_version",
    "rows_of",
    "tag_version",
]


def list_datasets(session: TenantSession, limit: int = 50, offset: int = 0) -> Page[Dataset]:
    """Return datasets that have a version, by name."""
    statement = sa.select(Dataset).where(Dataset.current_version > 0).order_by(Dataset.name)
    return page_of(session, statement, limit, offset)


def get_dataset(session: TenantSession, name: str) -> Dataset:
    """Return a dataset by name or id. Raises: NotFound."""
    known_id = parse_id(name)
    condition = Dataset.id == known_id if known_id else Dataset.name == name
    row = session.scalars(sa.select(Dataset).where(condition, Dataset.current_version > 0)).one_or_none()
    if row is None:
        raise NotFound(f"there is no dataset {name[:120]!r}; `tunery datasets list` shows what there is")
    return row


def newest_version(session: TenantSession, dataset: Dataset) -> DatasetVersion:
    """Return the newest version of a dataset that has one, be it erased; ``resolve_version`` gives one with rows."""
    statement = sa.select(DatasetVersion).where(
        DatasetVersion.dataset_id == dataset.id, DatasetVersion.version == dataset.current_version
    )
    return session.scalars(statement).one()


def list_versions(session: TenantSession, name: str) -> list[DatasetVersion]:
    """Return a dataset's versions, the newest first. Raises: NotFound."""
    dataset = get_dataset(session, name)
    statement = sa.select(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id)
    statement = statement.options(selectinload(DatasetVersion.tagged))
    return list(session.scalars(statement.order_by(DatasetVersion.version.desc())))


def resolve_version(session: TenantSession, reference: str) -> DatasetVersion:
    """Return the version that a reference names.

    ``name`` is the newest, ``name:2`` the second, ``name:gold`` the one with that tag, ``name@2026-11-20T10:00:00Z``
    the newest of that time, or what is left of it; an id is a version's own.

    Raises:
        NotFound: There is no such version. Erased: it was erased; the message names its successor.
    """
    version = _find_version(session, reference)
    if version.status == "erased":
        successor = session.get(DatasetVersion, version.successor_id) if version.successor_id else None
        follows = f"; {successor.reference} is what is left of it" if successor else ", and nothing is left of it"
        raise Erased(f"{version.reference} held rows that were erased{follows}")
    return version


def hold_version(session: TenantSession, reference: str) -> DatasetVersion:
    """Return the version that a reference names, and let nobody erase rows of it until this transaction ends.

    Raises: as above.
    """
    version = resolve_version(session, reference)
    hold_last(session, version.id)  # reads it anew: somebody may have erased rows of it at this moment
    return resolve_version(session, version.id)


def find_version(session: TenantSession, name: str, version: str | None = None) -> DatasetVersion:
    """Return a dataset's version by its number, its tag, or ``@`` and a time; else the newest. Raises: as above."""
    if not version:
        return resolve_version(session, name)
    return resolve_version(session, f"{name}{'' if version.startswith('@') else ':'}{version}")


def _find_version(session: TenantSession, reference: str) -> DatasetVersion:
    if (known_id := parse_id(reference)) is not None and (row := session.get(DatasetVersion, known_id)) is not None:
        return row
    name, _, moment = reference.partition("@")
    try:
        wanted = own_reference(session, name)
    except InvalidInput as error:
        raise NotFound(f"there is no dataset {reference[:120]!r}") from error
    versions = list_versions(session, wanted.name)
    if moment:
        versions = _of_time(versions, parse_time(moment))
    tagged = (
        sa.select(DatasetTag.version_id).where(
            DatasetTag.dataset_id == versions[0].dataset_id, DatasetTag.name == wanted.version
        )
        if versions and wanted.version
        else None
    )
    tag = session.scalars(tagged).one_or_none() if tagged is not None else None
    for row in versions:
        meant = row.version == row.dataset.current_version or bool(moment)
        if wanted.version == str(row.version) or row.id == tag or (wanted.version is None and meant):
            return row
    raise NotFound(f"there is no dataset version {reference!r}; `tunery datasets versions {wanted.name}` lists them")


def _of_time(versions: list[DatasetVersion], at: datetime) -> list[DatasetVersion]:
    """Return what is left of the versions of a time, the newest first: a successor is as old as what it follows."""
    by_id = {row.id: row for row in versions}
    following = {row.successor_id for row in versions}
    found = []
    for row in versions:
        if row.id not in following and row.created_at <= at:
            while row.successor_id:
                row = by_id[row.successor_id]
            found.append(row)
    return found


def tag_version(session: TenantSession, actor: Actor, reference: str, name: str) -> DatasetVersion:
    """Give a version a name, moving it where another has it. Raises: InvalidInput: a number, or no name."""
    if check_name(name).isdigit():
        raise InvalidInput(f"the tag {name} would be taken for a version's number; begin it with a letter")
    version = resolve_version(session, reference)
    own = sa.select(DatasetTag).where(DatasetTag.dataset_id == version.dataset_id, DatasetTag.name == name)
    tag = session.scalars(own).one_or_none() or DatasetTag(dataset_id=version.dataset_id, name=name)
    tag.version_id = version.id
    session.add(tag)
    session.flush()
    session.refresh(version, ["tagged"])
    audit.record(session, actor, "dataset_tagged", version.reference, tag=name)
    return version


def inspect_upload(ground: Ground, tenant_id: str, wish: DatasetInspect) -> Findings:
    """Look at an uploaded file. Raises: NotFound: it was never uploaded. FormatInvalid: it is not what it claims."""
    with scratch_folder(ground.settings, "inspect") as scratch:
        ground.blobs.checkout(tenant_id, wish.file_digest, scratch / "source")
        return inspect_file(
            scratch / "source",
            wish.format,
            wish.columns,
            name=wish.file_name,
            max_row_bytes=ground.settings.max_row_bytes,
        )


def list_sanitizers() -> list[SanitizerView]:
    """Return every sanitising step and its parameters, by name."""
    found = []
    for name, step in SANITIZERS:
        schema = step.model_json_schema()
        found.append(
            SanitizerView(
                name=name,
                description=" ".join(str(schema.get("description", "")).split()),
                removes_rows=step.removes_rows,
                parameters={key: value for key, value in schema["properties"].items() if key != "step"},
                required=schema.get("required", []),
            )
        )
    return found


def rows_of(
    ground: Ground, version: DatasetVersion, split: str | None = None, limit: int | None = None, offset: int = 0
) -> Iterator[StoredRow]:
    """Yield a version's rows in the order of their import. Raises: InvalidInput: no such split; IntegrityError."""
    if split is not None and split not in SPLITS:
        raise InvalidInput(f"there is no split {split[:50]!r}; splits are {', '.join(SPLITS)}")
    return read_rows(ground, version, split=split, offset=offset, limit=limit)


def quarantined_rows(ground: Ground, version: DatasetVersion, limit: int, offset: int = 0) -> Iterator[BadLine]:
    """Yield the rows that were set aside when a version was imported, in their order.

    Raises:
        NotFound: None were, or they went when somebody was erased. IntegrityError: they are damaged.
    """
    if not version.quarantined:
        name = version.dataset.name
        raise NotFound(
            f"no row was set aside when {version.reference} was made; `tunery datasets versions {name}` says of which "
            "versions there were any"
        )
    if version.quarantine_digest is None:
        raise NotFound(
            f"the {version.quarantined} rows that were set aside from {version.reference} are kept no longer: their "
            "file named somebody who was erased"
        )
    lines = _lines(ground.blobs.open(version.tenant_id, version.quarantine_digest))
    return map(BadLine.model_validate_json, islice(lines, offset, offset + limit))


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    begun = b""
    for piece in pieces:
        *lines, begun = (begun + piece).split(b"\n")
        yield from lines


def read_split(ground: Ground, tenant_id: str, version_id: str, split: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a split, each with its ``row_id``. Opens a short session of its own.

    Raises:
        NotFound, Erased: There is no such version, or no more. IntegrityError: a file is missing or damaged.
    """
    with ground.database.session(tenant_id, read_only=True) as session:
        version = resolve_version(session, version_id)
    for row in rows_of(ground, version, split):
        yield row.values | {"row_id": row.row_id}


def materialize_split(ground: Ground, tenant_id: str, version_id: str, split: str, path: Path) -> int:
    """Write a split's rows to a file, one JSON object with ``row_id`` a line, and return how many there are.

    The same version gives the same bytes. The file appears whole or not at all.
    """
    staging = path.with_name(f".{path.name}.new")
    count = 0
    with staging.open("w", encoding="utf-8") as file:
        for row in read_split(ground, tenant_id, version_id, split):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    staging.replace(path)
    return count
