"""Versions in the table: all or nothing, each readable by its number, taken up after a crash."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from tunery.datasets import delta
from tunery.datasets.delta import StoredRow, digest_of, read_rows, write_version
from tunery.errors import IntegrityError


def make_rows(count: int, mark: str = "") -> list[StoredRow]:
    splits = ("train", "train", "test", "validation")
    return [StoredRow(f"r{i}", splits[i % 4], i + 1, f'{{"text":"{mark}{i}"}}') for i in range(count)]


def test_a_version_is_read_back_in_order_as_it_was_written(tmp_path: Path) -> None:
    rows = make_rows(10_000)
    written = write_version(tmp_path / "t", iter(rows), "one")
    assert list(read_rows(tmp_path / "t", written.number)) == rows
    assert written.rows == {"train": 5000, "test": 2500, "validation": 2500}
    assert written.digest == digest_of(rows)


def test_rows_of_several_files_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta, "_FILE_BYTES", 1)
    monkeypatch.setattr(delta, "_BATCH_ROWS", 100)
    rows = make_rows(1050)
    written = write_version(tmp_path / "t", iter(rows), "one")
    assert len(list((tmp_path / "t").glob("*.parquet"))) == 11  # 1,050 rows in batches of 100, a file each
    assert list(read_rows(tmp_path / "t", written.number)) == rows


def test_an_older_version_stays_readable_by_its_number(tmp_path: Path) -> None:
    first = write_version(tmp_path / "t", iter(make_rows(5, "a")), "one")
    second = write_version(tmp_path / "t", iter(make_rows(3, "b")), "two")
    assert [row.values["text"] for row in read_rows(tmp_path / "t", first.number)] == ["a0", "a1", "a2", "a3", "a4"]
    assert [row.values["text"] for row in read_rows(tmp_path / "t", second.number)] == ["b0", "b1", "b2"]


def test_a_table_keeps_its_versions_whatever_the_age_of_the_log(tmp_path: Path) -> None:
    write_version(tmp_path / "t", iter(make_rows(5)), "one")
    assert DeltaTable(tmp_path / "t").metadata().configuration["delta.enableExpiredLogCleanup"] == "false"


def test_pages_and_splits_are_cut_out_of_a_version(tmp_path: Path) -> None:
    number = write_version(tmp_path / "t", iter(make_rows(20)), "one").number

    def ids(**wish: object) -> list[str]:
        return [row.row_id for row in read_rows(tmp_path / "t", number, **wish)]  # type: ignore[arg-type]

    assert ids(offset=18) == ["r18", "r19"]
    assert ids(offset=3, limit=2) == ["r3", "r4"]
    assert ids(split="test") == ["r2", "r6", "r10", "r14", "r18"]
    assert ids(split="test", offset=1, limit=2) == ["r6", "r10"]
    assert ids(limit=0) == []
    assert ids(offset=99) == []


def test_a_page_may_lie_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta, "_BATCH_ROWS", 7)
    number = write_version(tmp_path / "t", iter(make_rows(30)), "one").number
    for offset in range(31):
        found = [row.row_id for row in read_rows(tmp_path / "t", number, offset=offset, limit=9)]
        assert found == [f"r{i}" for i in range(offset, min(30, offset + 9))]


def test_a_crash_before_the_commit_leaves_the_earlier_version_and_the_repeat_succeeds(tmp_path: Path) -> None:
    first = write_version(tmp_path / "t", iter(make_rows(4, "a")), "one")

    def dies() -> Iterator[StoredRow]:
        yield from make_rows(9000, "b")
        raise OSError("power cut")

    with pytest.raises(OSError, match="power cut"):
        write_version(tmp_path / "t", dies(), "two")
    assert DeltaTable(tmp_path / "t").version() == first.number
    second = write_version(tmp_path / "t", iter(make_rows(9000, "b")), "two")
    assert (second.number, sum(second.rows.values())) == (first.number + 1, 9000)


def test_a_commit_that_nobody_recorded_is_taken_up_by_the_same_import(tmp_path: Path) -> None:
    first = write_version(tmp_path / "t", iter(make_rows(4)), "one")

    def never() -> Iterator[StoredRow]:
        raise AssertionError("the rows were asked for again")
        yield

    assert write_version(tmp_path / "t", never(), "one") == first


def test_a_commit_that_nobody_recorded_does_not_show_in_the_next_import(tmp_path: Path) -> None:
    write_version(tmp_path / "t", iter(make_rows(4, "lost")), "lost")
    kept = write_version(tmp_path / "t", iter(make_rows(2, "kept")), "kept")
    assert [row.values["text"] for row in read_rows(tmp_path / "t", kept.number)] == ["kept0", "kept1"]


def test_writers_of_one_table_wait_for_each_other(tmp_path: Path) -> None:
    found: dict[str, delta.Written] = {}

    def write(name: str) -> None:
        found[name] = write_version(tmp_path / "t", iter(make_rows(50, name)), name)

    threads = [threading.Thread(target=write, args=(f"w{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({written.number for written in found.values()}) == 6
    for name, written in found.items():
        assert [row.values["text"] for row in read_rows(tmp_path / "t", written.number)] == [
            f"{name}{i}" for i in range(50)
        ]


def test_a_damaged_or_missing_file_is_refused_and_named(tmp_path: Path) -> None:
    number = write_version(tmp_path / "t", iter(make_rows(4)), "one").number
    [file] = (tmp_path / "t").glob("*.parquet")
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(IntegrityError, match=file.name):
        list(read_rows(tmp_path / "t", number))
    file.unlink()
    with pytest.raises(IntegrityError, match=file.name):
        list(read_rows(tmp_path / "t", number))
    with pytest.raises(IntegrityError, match="version 99"):
        list(read_rows(tmp_path / "t", 99))


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.text(max_size=4), st.text(max_size=4), min_size=1, max_size=8), st.randoms(use_true_random=False)
)
def test_the_digest_is_of_ids_and_rows_whatever_order_and_split(values: dict[str, str], rng: random.Random) -> None:
    rows = [StoredRow(key, "train", 1, value) for key, value in values.items()]
    shuffled = [StoredRow(row.row_id, "test", 2, row.content) for row in rows]
    rng.shuffle(shuffled)
    assert digest_of(rows) == digest_of(shuffled)
    other = [StoredRow(rows[0].row_id, "train", 1, rows[0].content + "x"), *rows[1:]]
    assert digest_of(other) != digest_of(rows) != digest_of(rows[1:])


def test_kill_9_at_any_moment_leaves_whole_versions_and_the_repeat_goes_on(tmp_path: Path) -> None:
    table, rng = tmp_path / "t", random.Random(11)
    script = (
        "import sys\nfrom pathlib import Path\nfrom tunery.datasets.delta import write_version\n"
        "from tests.datasets.test_delta import make_rows\n"
        "print('go', flush=True)\n"
        "for i in range(int(sys.argv[2]), 10_000):\n"
        "    write_version(Path(sys.argv[1]), iter(make_rows(3000, f'v{i}-')), f'import-{i}')\n"
        "    print(i, flush=True)\n"
    )
    acknowledged = -1
    for _ in range(4):
        command = [sys.executable, "-c", script, str(table), str(acknowledged + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "go\n"
            acknowledged = int(child.stdout.readline())
            time.sleep(rng.uniform(0, 0.3))  # anywhere within a write
            child.kill()
            acknowledged = max([acknowledged, *map(int, child.stdout.read().split())])
    repeated = write_version(table, iter(make_rows(3000, f"v{acknowledged}-")), f"import-{acknowledged}")
    assert repeated.digest == digest_of(make_rows(3000, f"v{acknowledged}-"))
    for number in range(1, DeltaTable(table).version() + 1):
        texts = [row.values["text"] for row in read_rows(table, number)]
        mark = texts[0].removesuffix("0")
        assert texts == [f"{mark}{i}" for i in range(3000)]
    assert DeltaTable(table).version() in (acknowledged + 1, acknowledged + 2)  # one may be committed and unseen
