"""Files of rows, and the digest of what they hold."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunery.datasets.versions import digests, row_files
from tunery.datasets.versions.digests import digest_of_rows
from tunery.datasets.versions.row_files import StoredRow, read_batches, rows_in, write_row_files
from tunery.errors import IntegrityError


def make_rows(count: int) -> list[StoredRow]:
    splits = ("train", "train", "test", "validation")
    return [StoredRow(f"r{i}", splits[i % 4], i + 1, f'{{"text":"{i}"}}', (bytes(20),) * (i % 3)) for i in range(count)]


def read(path: Path) -> list[StoredRow]:
    with path.open("rb", buffering=0) as file:
        return [row for batch in read_batches(file, path.name) for row in rows_in(batch)]


def test_rows_are_read_back_in_order_as_they_were_written(tmp_path: Path) -> None:
    rows = make_rows(10_000)
    [written] = write_row_files(tmp_path, iter(rows))
    assert read(written.path) == rows
    assert written.rows == {"train": 5000, "test": 2500, "validation": 2500}


def test_rows_of_several_files_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_files, "_FILE_BYTES", 1)
    monkeypatch.setattr(row_files, "_GROUP_ROWS", 100)
    rows = make_rows(1050)
    files = list(write_row_files(tmp_path, iter(rows)))
    assert len(files) == 11  # 1,050 rows in groups of 100, a file each
    assert [row for file in files for row in read(file.path)] == rows


def test_no_rows_make_no_file(tmp_path: Path) -> None:
    assert list(write_row_files(tmp_path, iter(()))) == []


def test_a_damaged_file_is_refused_and_named(tmp_path: Path) -> None:
    [written] = write_row_files(tmp_path, iter(make_rows(4)))
    written.path.write_bytes(written.path.read_bytes()[:-40])
    with pytest.raises(IntegrityError, match=written.path.name):
        read(written.path)


def hashed(rows: dict[str, str]) -> list[tuple[str, bytes]]:
    return [(row_id, hashlib.sha256(content.encode()).digest()) for row_id, content in rows.items()]


def digest_of(pairs: list[tuple[str, bytes]], size: int = 3) -> str:
    """The digest of rows that come some at a time."""
    schema = pa.schema([("row_id", pa.string()), ("row_hash", pa.binary(32))])
    parts = (pairs[start : start + size] for start in range(0, len(pairs), size))
    return digest_of_rows(pa.record_batch([*zip(*part, strict=True)], schema=schema) for part in parts)


def told(pairs: list[tuple[str, bytes]]) -> str:
    """The same as its definition says it."""
    lines = [json.dumps([i, h.hex()], separators=(",", ":"), ensure_ascii=False).encode() + b"\n" for i, h in pairs]
    return hashlib.sha256(b"".join(sorted(lines))).hexdigest()


@settings(max_examples=50)
@given(
    st.dictionaries(st.text(max_size=4), st.text(max_size=4), min_size=1, max_size=8), st.randoms(use_true_random=False)
)
def test_the_digest_is_of_ids_and_rows_whatever_their_order(values: dict[str, str], rng: random.Random) -> None:
    pairs = hashed(values)
    shuffled = [*pairs]
    rng.shuffle(shuffled)
    assert digest_of(pairs) == digest_of(shuffled) == told(pairs)
    first, *rest = pairs
    assert digest_of([(first[0], bytes(32)), *rest]) != digest_of(pairs) != digest_of(rest)


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_the_digest_is_the_same_where_the_lines_are_merged_from_the_disk(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    pairs = hashed({f"{'é' * (i % 2)}r{i % 97}-{i}": str(i) for i in range(1000)})
    monkeypatch.setattr(digests, "_RUN", 64)
    monkeypatch.setattr(digests, "_BLOCK", block)
    assert digest_of(pairs[::-1], 10) == told(pairs)
