"""Splits are dealt by seed, whatever the order, and near-duplicates stay together."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunery.datasets.similarity import SIMILARITY, Similarity, normal_form
from tunery.datasets.splits import split_rows
from tunery.errors import InvalidInput

WORDS = [
    f"{a}{b}{c}" for a in ("ka", "lo", "mi", "tu") for b in ("ren", "sot", "vil") for c in ("da", "pe", "xo", "zu")
]


def make_texts(count: int, copies: int, seed: int) -> list[str]:
    """Return ``count`` unlike texts, each with ``copies`` near-copies in which one word of 30 is another."""
    rng = random.Random(seed)
    texts = []
    for _ in range(count):
        words = rng.choices(WORDS, k=30)
        texts.append(" ".join(words))
        for _ in range(copies):
            changed = list(words)
            changed[rng.randrange(30)] = rng.choice(WORDS)
            texts.append(" ".join(changed))
    return texts


def shingles(text: str) -> set[str]:
    text = normal_form(text)
    return {text[i : i + 5] for i in range(len(text) - 4)}


def jaccard(a: str, b: str) -> float:
    first, second = shingles(a), shingles(b)
    return len(first & second) / len(first | second)


def test_no_near_duplicate_stands_on_two_sides() -> None:
    texts = make_texts(60, 2, seed=1)
    splits, report = split_rows([str(i) for i in range(180)], texts, seed=3, validation=0.1, test=0.2)
    similar = [(a, b) for a, b in combinations(range(180), 2) if jaccard(texts[a], texts[b]) >= SIMILARITY]
    assert len(similar) > 100
    assert [(a, b) for a, b in similar if splits[a] != splits[b]] == []
    assert report.rows == {"train": 126, "validation": 18, "test": 36}  # 180 * 0.1 and 180 * 0.2
    assert (report.groups, report.largest_group, report.leaking_rows) == (60, 3, 0)


@settings(max_examples=25)
@given(st.integers(0, 50), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_change_their_split(seed: int, rng: random.Random) -> None:
    texts = make_texts(20, 1, seed)
    order = list(range(40))
    rng.shuffle(order)
    first, _ = split_rows([f"r{i}" for i in range(40)], texts, seed=seed, validation=4, test=8)
    second, _ = split_rows([f"r{i}" for i in order], [texts[i] for i in order], seed=seed, validation=4, test=8)
    assert [first[i] for i in order] == second


def test_another_seed_is_another_split_and_the_same_is_the_same() -> None:
    texts = make_texts(100, 0, seed=2)
    ids = [str(i) for i in range(100)]
    one, two, again = (split_rows(ids, texts, seed=s, validation=10, test=10)[0] for s in (1, 2, 1))
    assert one == again != two


def test_most_rows_stay_where_they_were_when_rows_are_added() -> None:
    texts = make_texts(220, 0, seed=4)
    ids = [str(i) for i in range(220)]
    before, _ = split_rows(ids[:200], texts[:200], seed=1, validation=0.1, test=0.1)
    after, _ = split_rows(ids, texts, seed=1, validation=0.1, test=0.1)
    assert sum(a == b for a, b in zip(before, after, strict=False)) >= 190


def test_case_and_spaces_do_not_hide_a_copy() -> None:
    texts = [*make_texts(30, 0, seed=5), "The  quick BROWN fox\njumps over it", "the quick brown fox jumps over it"]
    for seed in range(8):
        splits, _ = split_rows([str(i) for i in range(32)], texts, seed=seed, validation=0, test=10)
        assert splits[-1] == splits[-2]


def test_a_common_instruction_does_not_make_all_rows_copies() -> None:
    instruction = "Decide whether the review is positive or negative and answer with one word. Review: "
    rng = random.Random(6)
    texts = [instruction + " ".join(rng.choices(WORDS, k=6)) for _ in range(200)]
    _, report = split_rows([str(i) for i in range(200)], texts, seed=1, validation=0.1, test=0.1)
    assert report.largest_group < 5
    assert report.rows["test"] == 20


def test_short_texts_are_compared_whole() -> None:
    similarity = Similarity(sorted(["a", "b", "ab", "", "你好"]))
    assert similarity.groups() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("validation", "test"), [(0.5, 0.5), (5, 5), (0, 10), (0.1, 9)])
def test_a_split_that_leaves_nothing_to_train_on_is_refused(validation: float, test: float) -> None:
    with pytest.raises(InvalidInput, match="leave none of the 10"):
        split_rows(
            [str(i) for i in range(10)], [str(i) * 9 for i in range(10)], seed=1, validation=validation, test=test
        )


def test_rows_that_are_all_alike_cannot_be_split_and_the_message_says_so() -> None:
    with pytest.raises(InvalidInput, match=r"no row is left for test.*1 groups"):
        split_rows([str(i) for i in range(10)], ["the very same text"] * 10, seed=1, validation=0, test=2)


def test_a_small_fraction_of_few_rows_is_one_row() -> None:
    _, report = split_rows(
        ["a", "b", "c"], ["one thing", "other stuff", "third matter"], seed=1, validation=0, test=0.1
    )
    assert report.rows == {"train": 2, "validation": 0, "test": 1}
