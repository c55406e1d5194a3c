"""Make the Delta log of a dataset anew from what SQL records, wherever it does not say the same."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from tunery.datasets.tables import Dataset, DatasetFile, DatasetVersion
from tunery.datasets.versions.contents import files_of, log_of
from tunery.datasets.versions.log import DeltaLog, LoggedFile
from tunery.errors import IntegrityError
from tunery.kit.ids import new_id
from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground

__all__ = ["commit_files", "histories_of", "rebuild_logs"]


def rebuild_logs(ground: Ground, tenant_id: str) -> list[str]:
    """Commit anew each version of a tenant's datasets that its log lacks or tells otherwise; return their names.

    Erased versions are left out. What a log says beyond SQL stays: nobody names it.
    """
    with ground.database.session(tenant_id, read_only=True) as session:
        datasets = list(session.scalars(sa.select(Dataset).where(Dataset.current_version > 0).order_by(Dataset.name)))
    return [dataset.name for dataset in datasets if _rebuild(ground, dataset)]


def histories_of(session: TenantSession, dataset: Dataset) -> list[tuple[DatasetVersion, list[DatasetFile]]]:
    """Return a dataset's versions, the oldest first, each with its files; an erased one with none."""
    versions = session.scalars(
        sa.select(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id).order_by(DatasetVersion.version)
    )
    return [(row, [] if row.status == "erased" else files_of(session, row)) for row in versions]


def commit_files(log: DeltaLog, files: Sequence[DatasetFile]) -> int:
    """Make these files the newest version of a log, and return its number."""
    return log.commit(new_id(), sorted(_logged(files)))


def _rebuild(ground: Ground, dataset: Dataset) -> bool:
    log = log_of(ground, dataset.tenant_id, dataset.id)
    with ground.database.session(dataset.tenant_id, read_only=True) as session:
        versions = histories_of(session, dataset)
    wrong = [(row, files) for row, files in versions if row.status != "erased" and not _says(log, row, files)]
    if wrong:
        log.discard_if_damaged()
        wrong = [(row, files) for row, files in versions if row.status != "erased" and not _says(log, row, files)]
    for row, files in wrong:
        number = commit_files(log, files)
        with ground.database.session(dataset.tenant_id) as session:
            session.execute(sa.update(DatasetVersion).where(DatasetVersion.id == row.id).values(delta_version=number))
    return bool(wrong)


def _says(log: DeltaLog, version: DatasetVersion, files: Sequence[DatasetFile]) -> bool:
    try:
        return log.files(version.delta_version) == sorted(_logged(files))
    except IntegrityError:
        return False


def _logged(files: Sequence[DatasetFile]) -> list[LoggedFile]:
    return [LoggedFile(file.sequence, file.digest, file.size_bytes) for file in files]
