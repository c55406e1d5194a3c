"""Deal rows out to train, validation and test: by seed, whatever their order, near-duplicates on one side."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tunery.datasets.similarity import SIMILARITY, Similarity, distinct_forms
from tunery.errors import InvalidInput

__all__ = ["SPLITS", "Share", "Split", "SplitReport", "split_rows", "split_said"]

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
HELD_OUT: tuple[Split, ...] = ("test", "validation")

Share: TypeAlias = float | int
"""A fraction of the rows (a float below 1) or a number of rows (an int)."""


@dataclass(frozen=True)
class SplitReport:
    """How the rows were dealt out.

    Attributes:
        rows: Number of rows by split.
        groups: Groups of near-duplicates, dealt out whole unless a column said the splits; a row without any is a
            group of its own. 0 where no row was held out.
        largest_group: Rows of the largest group.
        similarity: Jaccard similarity from which rows count as near-duplicates.
        leaking_rows: Validation and test rows that have a near-duplicate in train, or test rows that have one in
            validation, found by hash functions other than those that made the groups; 0 is expected where rows were
            dealt out.
    """

    rows: dict[Split, int]
    groups: int
    largest_group: int
    similarity: float
    leaking_rows: int

    @classmethod
    def of_train(cls, count: int) -> SplitReport:
        """Return the report of rows that all go into train, so that nobody looked for near-duplicates."""
        return cls({"train": count, "validation": 0, "test": 0}, 0, 0, SIMILARITY, 0)


_SAID: dict[str, Split] = {"train": "train", "training": "train", "test": "test", "testing": "test"}
_SAID |= dict.fromkeys(("validation", "valid", "val", "dev"), "validation")


def split_said(value: object) -> Split | None:
    """Return the split that a column's value means; None: it means none."""
    return _SAID.get(value.strip().lower()) if isinstance(value, str) else None


def split_rows(
    row_ids: Sequence[str],
    inputs: Sequence[str],
    *,
    seed: int,
    validation: Share,
    test: Share,
    settled: Sequence[Split | None] = (),
) -> tuple[list[Split], SplitReport]:
    """Deal rows out; the same rows and seed give the same split in any order, and most rows stay when others are added.

    Args:
        row_ids: Unique ids of the rows.
        inputs: What a model is asked in each row; near-duplicates are told by it. They may lie on the disk.
        seed: Which of the possible splits.
        validation: Fraction or number of rows for validation; 0 for none.
        test: The same for test.
        settled: Of the first rows, the split in which they stay; near-duplicates of theirs join them.

    Returns:
        The split of each row in the order given, and the report.

    Raises:
        InvalidInput: Too few rows, or too few groups, for what is asked.
    """
    wanted = _row_counts(len(row_ids), validation, test)
    texts, text_of_row = distinct_forms(inputs)
    similarity = Similarity(texts)
    group_of_text = similarity.groups()
    groups: dict[int, list[int]] = {}
    for row, text in enumerate(text_of_row):
        groups.setdefault(group_of_text[text], []).append(row)
    splits = _deal(row_ids, list(groups.values()), seed, wanted, settled)
    counts = Counter(splits)
    for name in HELD_OUT:
        if wanted[name] and not counts[name]:
            largest = max(map(len, groups.values()))
            raise InvalidInput(
                f"no row is left for {name}: the {len(row_ids)} rows form only {len(groups)} groups of near-duplicates "
                f"(the largest has {largest} rows), and a group is never torn apart. Add rows, or set its share to 0"
            )
    report = SplitReport(
        rows={name: counts[name] for name in SPLITS},
        groups=len(groups),
        largest_group=max(map(len, groups.values()), default=0),
        similarity=SIMILARITY,
        leaking_rows=_leaking(similarity, text_of_row, splits),
    )
    return splits, report


def _row_counts(total: int, validation: Share, test: Share) -> dict[Split, int]:
    counts: dict[Split, int] = {"validation": _row_count(total, validation), "test": _row_count(total, test)}
    if sum(counts.values()) >= total and total:
        raise InvalidInput(
            f"{counts['validation']} rows for validation and {counts['test']} for test leave none of the {total} to "
            "train on; ask for less"
        )
    return counts


def _row_count(total: int, share: Share) -> int:
    if isinstance(share, float):
        return max(1, round(total * share)) if share else 0
    return share


def _deal(
    row_ids: Sequence[str],
    groups: list[list[int]],
    seed: int,
    wanted: dict[Split, int],
    settled: Sequence[Split | None],
) -> list[Split]:
    def lot(group: list[int]) -> bytes:
        return hashlib.sha256(f"{seed}:{min(row_ids[row] for row in group)}".encode()).digest()

    splits: list[Split] = ["train"] * len(row_ids)
    left = {name: count - settled.count(name) for name, count in wanted.items()}
    for group in sorted(groups, key=lot):
        if stays := [split for row in group if row < len(settled) and (split := settled[row])]:
            for row in group:
                splits[row] = (settled[row] if row < len(settled) else None) or stays[0]
            continue
        for name in HELD_OUT:
            if len(group) <= left[name]:
                left[name] -= len(group)
                for row in group:
                    splits[row] = name
                break
    return splits


def _leaking(similarity: Similarity, text_of_row: list[int], splits: list[Split]) -> int:
    rank: dict[Split, int] = {name: number for number, name in enumerate(SPLITS)}
    least: dict[int, int] = {}
    for text, split in zip(text_of_row, splits, strict=True):
        least[text] = min(rank[split], least.get(text, len(SPLITS)))
    sides = [least[text] for text in range(len(least))]
    pairs = similarity.pairs_across(sides)
    leaking = {first if sides[first] > sides[second] else second for first, second in pairs}
    return sum(text in leaking or rank[split] > sides[text] for text, split in zip(text_of_row, splits, strict=True))
