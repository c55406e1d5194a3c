"""The Delta table laid out for other engines, every version by its number; the log is made again (DAT-07)."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from deltalake import DeltaTable

from tests.datasets.test_imports import context_of
from tests.datasets.versions.test_changes import contents, imported, keyed
from tunery.datasets.exports.laying import delta_archive
from tunery.datasets.operations import get_dataset, list_versions
from tunery.datasets.tables import DatasetVersion
from tunery.datasets.versions.changing import delete_rows, restore_version
from tunery.datasets.versions.contents import files_of, log_of
from tunery.datasets.versions.rebuilding import histories_of, rebuild_logs
from tunery.kit.actor import Actor
from tunery.platform.ground import Ground


def versions_of(ground: Ground, actor: Actor) -> list[DatasetVersion]:
    """Four versions: 20 rows, 30, 29 without row 3, and the first again."""
    imported(ground, actor, keyed(range(20)), key="id")
    imported(ground, actor, keyed(range(20, 30)), "append", key="id")
    delete_rows(context_of(ground, actor), "things", ["3"])
    restore_version(context_of(ground, actor), "things:1")
    return stored(ground, actor)


def stored(ground: Ground, actor: Actor) -> list[DatasetVersion]:
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        return list_versions(session, "things")[::-1]


def says(ground: Ground, actor: Actor) -> bool:
    """Whether the log tells of each version the files that SQL tells of it."""
    log = log_of(ground, actor.tenant_id, stored(ground, actor)[0].dataset_id)
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        return all(
            [file.digest for file in log.files(row.delta_version)] == [file.digest for file in files_of(session, row)]
            for row in list_versions(session, "things")
        )


def test_dat_07_every_version_is_read_by_its_number_and_an_erased_one_is_empty(
    ground: Ground, actor: Actor, tmp_path: Path
) -> None:
    versions = versions_of(ground, actor)
    with ground.database.session(actor.tenant_id) as session:
        gone = sa.update(DatasetVersion).where(DatasetVersion.id == versions[1].id)
        session.execute(gone.values(status="erased", successor_id=versions[3].id))
        histories = histories_of(session, get_dataset(session, "things"))
    (tmp_path / "scratch").mkdir()
    archive = b"".join(delta_archive(ground, histories, tmp_path / "scratch"))
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        opened.extractall(tmp_path / "table", filter="data")
    for version in versions:
        table = DeltaTable(tmp_path / "table", version=version.version).to_pyarrow_table()
        found = dict(zip(table["row_id"].to_pylist(), table["row"].to_pylist(), strict=True))
        assert found == ({} if version.version == 2 else contents(ground, version))
    assert DeltaTable(tmp_path / "table").version() == 4


@pytest.mark.parametrize("harm", ["lost", "cut", "emptied"])
def test_a_log_that_is_lost_or_damaged_is_made_again_from_sql(ground: Ground, actor: Actor, harm: str) -> None:
    versions = versions_of(ground, actor)
    assert rebuild_logs(ground, actor.tenant_id) == []
    folder = Path(urlsplit(log_of(ground, actor.tenant_id, versions[0].dataset_id).url).path) / "_delta_log"
    if harm == "lost":
        shutil.rmtree(folder.parent)
    elif harm == "cut":
        sorted(folder.glob("*.json"))[2].unlink()
    else:
        sorted(folder.glob("*.json"))[0].write_bytes(b"")
    assert rebuild_logs(ground, actor.tenant_id) == ["things"]
    assert says(ground, actor)
    assert rebuild_logs(ground, actor.tenant_id) == []
    imported(ground, actor, keyed(range(40, 45)), "append", key="id")
    assert says(ground, actor)
