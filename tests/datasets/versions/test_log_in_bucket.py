"""The Delta log in a bucket holds what it holds on a disk: versions by number, commits at once, made again (DAT-07)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.datasets.versions.test_log import file
from tests.object_stores import ObjectServer
from tunery.datasets.versions.log import DeltaLog
from tunery.errors import IntegrityError
from tunery.kit.ids import new_id
from tunery.platform.blobs import table_place
from tunery.settings import Settings


@pytest.fixture
def log(s3_server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeltaLog:
    """A log in a bucket that a server speaking S3 keeps."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings(home=tmp_path / "home", store_url=f"{s3_server.url}/store")
    log = DeltaLog(*table_place(settings, new_id(), new_id()))
    assert log.url.startswith(f"{s3_server.url}/store/tables/")
    return log


def test_versions_and_commits_at_once_stand_by_their_numbers(log: DeltaLog) -> None:
    with pytest.raises(IntegrityError):
        log.files(1)
    assert log.commit("first", [file(0), file(1)]) == 1
    wanted = [[file(0), file(10 + place)] for place in range(6)]
    with ThreadPoolExecutor(6) as pool:
        numbers = list(pool.map(lambda place: log.commit(f"change {place}", wanted[place]), range(6)))
    assert {*numbers} == {*range(2, 8)}
    assert [log.files(number) for number in (1, *numbers)] == [[file(0), file(1)], *wanted]
    log.discard_if_damaged()
    assert log.files(1) == [file(0), file(1)]
