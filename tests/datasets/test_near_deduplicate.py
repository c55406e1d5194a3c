"""Near-duplicates are found by similarity, whatever their order, and the first of each group stays."""

from __future__ import annotations

import random
from itertools import combinations
from typing import Any

from tests.datasets.test_splits import jaccard, make_texts
from tunery.datasets.rows import Row
from tunery.datasets.sanitize import Sanitation
from tunery.datasets.sanitize.near_deduplicate import NearDeduplicate


def left(texts: list[str], **parameters: Any) -> tuple[list[Row], Any]:
    sanitation = Sanitation([NearDeduplicate.model_validate({"step": "near_deduplicate"} | parameters)], "text")
    rows = [Row(f"r{number}", number, {"text": text}) for number, text in enumerate(texts)]
    return list(sanitation.run(rows)), sanitation.records()[0]


def test_the_first_of_each_group_stays_in_order_and_no_two_alike_are_left() -> None:
    texts = make_texts(100, 2, seed=1)  # 100 groups of three
    rows, record = left(texts)
    assert [row.line for row in rows] == list(range(0, 300, 3))
    assert (record.affected_samples, record.details, record.examples) == (
        200,
        {"groups": 100},
        ["r1", "r2", "r4", "r5", "r7"],
    )
    assert max(jaccard(a.values["text"], b.values["text"]) for a, b in combinations(rows, 2)) < 0.7


def test_the_groups_do_not_depend_on_the_order_of_the_rows() -> None:
    texts = make_texts(60, 1, seed=2)
    shuffled = random.Random(3).sample(texts, len(texts))
    pairs = [{a, b} for a, b in zip(texts[::2], texts[1::2], strict=True)]
    for order in (texts, shuffled):
        kept = {row.values["text"] for row in left(order)[0]}
        assert all(len(kept & pair) == 1 for pair in pairs)


def test_the_threshold_decides() -> None:
    words = [f"word{number}" for number in range(13)]
    near = [*words[:12], "other"]
    texts = [" ".join(words), " ".join(near), "something else altogether stands here for company"]
    similarity = jaccard(texts[0], texts[1])
    assert 0.7 < similarity < 0.9
    assert len(left(texts, threshold=0.7)[0]) == 2
    assert len(left(texts, threshold=0.95)[0]) == 3


def test_a_crowd_of_copies_is_one_group() -> None:
    rng = random.Random(5)
    words = make_texts(1, 0, seed=9)[0].split()
    crowd = []
    for _ in range(40):  # fewer than the fifty from which wording that many rows share would not count
        changed = list(words)
        changed[rng.randrange(30)] = f"x{rng.randrange(10**6)}"
        crowd.append(" ".join(changed))
    assert len(left(crowd)[0]) == 1
