"""What came before is known however much there is, in memory or on the disk (DAT-12)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunery.datasets import seen
from tunery.datasets.rows import RowIds
from tunery.datasets.seen import Seen
from tunery.datasets.versions import subject_index
from tunery.datasets.versions.subject_index import Records, build_index


@pytest.fixture(autouse=True)
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "_HELD", 20)
    monkeypatch.setattr(seen, "_BLOCK", 4)
    monkeypatch.setattr(seen, "_FILES", 3)
    monkeypatch.setattr(seen, "_PLACE", (1 << 10) - 1)


@settings(max_examples=20)
@given(st.integers(1, 1500), st.integers(1, 2000), st.randoms(use_true_random=False))
def test_a_digest_is_new_once_and_keeps_its_number(kinds: int, count: int, rng: random.Random) -> None:
    ends = [bytes(16), b"\xff" * 16, b"\0" * 15 + b"\1"]
    known = [*ends, *(rng.randbytes(16) for _ in range(kinds))]
    expected: dict[bytes, int] = {}
    some, number = Seen(), 0
    while number < count:
        digests = rng.choices(known, k=rng.choice([1, 3, 30]))
        numbers = [*range(number, number + len(digests))]
        new = [some.add(*each) for each in zip(digests, numbers, strict=True)] if number % 2 else None
        assert (new or some.add_all(digests, numbers)) == [
            digest not in expected and expected.setdefault(digest, at) == at
            for digest, at in zip(digests, numbers, strict=True)
        ]
        number += len(digests)
    assert [some.number(digest) for digest in known] == [expected.get(digest) for digest in known]


def test_copies_are_named_one_after_the_other_wherever_their_likes_are_held() -> None:
    alone = RowIds(None)
    ids = [alone.name({"a": number % 7}, number) for number in range(1, 400)]
    assert len({*ids}) == len(ids)
    after = RowIds(None, ids[:200])  # 29 of the first four, 28 of the others
    assert [after.name({"a": number % 7}, number) for number in range(201, 400)] == ids[200:]


def test_an_index_that_memory_does_not_hold_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(7)
    entries = [(rng.randbytes(20), rng.randrange(1000)) for _ in range(500)]
    whole = build_index(entries)
    monkeypatch.setattr(subject_index, "_HELD_BYTES", 100)
    monkeypatch.setattr(subject_index, "_SORTED_BYTES", 2_000)
    monkeypatch.setattr(subject_index, "_PIECE_RECORDS", 7)
    records = Records()
    for entry, number in entries:
        records.add([entry], number)
    parts = [*records.in_order()]
    assert len(parts) == 7  # 12,000 bytes, at most 2,000 and a little at a time
    assert b"".join(parts) == whole
