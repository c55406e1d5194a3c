"""The Delta log: every version readable by its number, whoever commits beside, on a disk and in a bucket."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from deltalake import DeltaTable

from tunery.datasets.versions.log import DeltaLog, LoggedFile
from tunery.errors import IntegrityError


def file(sequence: int) -> LoggedFile:
    return LoggedFile(sequence, f"{sequence:064x}", 100 + sequence)


def test_a_version_is_the_files_it_was_committed_with(tmp_path: Path) -> None:
    log = DeltaLog(str(tmp_path / "t"))
    versions = [[file(0), file(1)], [file(1)], [file(0), file(1), file(2)], [file(0), file(1), file(2)]]
    numbers = [log.commit(f"change {place}", files) for place, files in enumerate(versions)]
    assert len({*numbers}) == 4
    assert [log.files(number) for number in numbers] == versions


def test_commits_at_once_each_stand_by_their_own_number(tmp_path: Path) -> None:
    log = DeltaLog(str(tmp_path / "t"))
    wanted = [[file(0), file(10 + place)] for place in range(8)]
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda place: log.commit(f"change {place}", wanted[place]), range(8)))
    assert len({*numbers}) == 8
    assert [log.files(number) for number in numbers] == wanted


def test_the_log_keeps_its_versions_whatever_their_age(tmp_path: Path) -> None:
    DeltaLog(str(tmp_path / "t")).commit("one", [file(0)])
    assert DeltaTable(tmp_path / "t").metadata().configuration["delta.enableExpiredLogCleanup"] == "false"


def test_the_log_holds_no_statistics_of_rows(tmp_path: Path) -> None:
    DeltaLog(str(tmp_path / "t")).commit("one", [file(0)])
    lines = [line for path in (tmp_path / "t" / "_delta_log").glob("*.json") for line in path.read_text().splitlines()]
    assert [entry["add"]["stats"] for entry in map(json.loads, lines) if "add" in entry] == ["{}"]


def test_a_version_that_is_not_there_is_told(tmp_path: Path) -> None:
    log = DeltaLog(str(tmp_path / "t"))
    log.commit("one", [file(0)])
    with pytest.raises(IntegrityError, match="version 99"):
        log.files(99)
