"""Which rows go into which batch: a pure function of the lengths, the seed and the epoch, so that a run can resume."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Plan", "bucketed_batches", "in_order_of_length"]

_BATCHES_PER_BUCKET = 50


def bucketed_batches(lengths: Sequence[int], batch_size: int, seed: int) -> list[list[int]]:
    """Return batches of row indices: random rows, but rows of like length together, so that little is padded.

    Rows are shuffled, cut into buckets of 50 batches, sorted by length within a bucket and cut into batches; the
    batches are shuffled again. Every row comes exactly once. Equal arguments give equal batches.
    """
    order = random.Random(seed)
    rows = list(range(len(lengths)))
    order.shuffle(rows)
    batches: list[list[int]] = []
    size = batch_size * _BATCHES_PER_BUCKET
    for start in range(0, len(rows), size):
        bucket = sorted(rows[start : start + size], key=lambda row: (lengths[row], row))
        batches += [bucket[cut : cut + batch_size] for cut in range(0, len(bucket), batch_size)]
    order.shuffle(batches)
    return batches


def in_order_of_length(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Return batches of row indices by falling length: the largest first, so that too little memory shows at once."""
    rows = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    return [rows[cut : cut + batch_size] for cut in range(0, len(rows), batch_size)]


@dataclass(frozen=True)
class Plan:
    """Every step of a run, known before it starts.

    Attributes:
        lengths: Tokens of each row.
        batch_size: Rows in a batch.
        accumulation: Batches in a step.
        epochs: Passes over the rows.
        max_steps: Steps after which the run ends, or None.
        seed: Of the order.
    """

    lengths: tuple[int, ...]
    batch_size: int
    accumulation: int
    epochs: int
    max_steps: int | None
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        batches = -(-len(self.lengths) // self.batch_size)
        return -(-batches // self.accumulation)

    @property
    def total_steps(self) -> int:
        planned = self.steps_per_epoch * self.epochs
        return min(planned, self.max_steps) if self.max_steps else planned

    def epoch_of(self, step: int) -> int:
        """Return the epoch (from 1) in which a step (from 1) lies."""
        return (step - 1) // self.steps_per_epoch + 1

    def ends_epoch(self, step: int) -> bool:
        """Tell whether a step (from 1) is the last of its epoch."""
        return step % self.steps_per_epoch == 0

    def epoch(self, epoch: int) -> list[list[list[int]]]:
        """Return the steps of an epoch (from 1), each a list of batches of row indices."""
        batches = bucketed_batches(self.lengths, self.batch_size, self.seed * 1_000_003 + epoch)
        return [batches[cut : cut + self.accumulation] for cut in range(0, len(batches), self.accumulation)]
