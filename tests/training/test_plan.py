from __future__ import annotations

import random

import pytest

from tunery.training.batches import Plan, bucketed_batches, in_order_of_length
from tunery.training.early_stopping import EarlyStopper
from tunery.training.schedule import learning_rate_at


def plan(
    rows: int = 10, batch_size: int = 3, accumulation: int = 2, epochs: int = 2, max_steps: int | None = None
) -> Plan:
    return Plan(tuple(range(1, rows + 1)), batch_size, accumulation, epochs, max_steps, seed=7)


def test_every_row_comes_exactly_once_in_an_epoch() -> None:
    draw = random.Random(0)
    lengths = [draw.randint(1, 300) for _ in range(1001)]
    batches = bucketed_batches(lengths, 8, seed=3)
    assert sorted(row for batch in batches for row in batch) == list(range(1001))
    assert len(batches) == 126  # 1001 / 8 = 125.1


def test_rows_of_like_length_share_a_batch_so_little_is_padded() -> None:
    draw = random.Random(0)
    lengths = [draw.randint(1, 300) for _ in range(1000)]

    def padded(batches: list[list[int]]) -> int:
        return sum(len(batch) * max(lengths[row] for row in batch) for batch in batches)

    unsorted = [list(range(start, start + 8)) for start in range(0, 1000, 8)]
    assert padded(bucketed_batches(lengths, 8, seed=0)) < 1.06 * sum(lengths)
    assert padded(unsorted) > 1.5 * sum(lengths)


def test_the_order_is_a_function_of_the_seed_and_differs_between_epochs() -> None:
    assert plan().epoch(1) == plan().epoch(1)
    assert plan(rows=50).epoch(1) != plan(rows=50).epoch(2)


def test_steps_count_batches_accumulation_epochs_and_the_limit() -> None:
    assert plan().steps_per_epoch == 2  # 10 rows / 3 = 4 batches; 4 / 2 = 2 steps
    assert plan().total_steps == 4
    assert plan(max_steps=3).total_steps == 3
    assert [plan().epoch_of(step) for step in (1, 2, 3, 4)] == [1, 1, 2, 2]
    assert [plan().ends_epoch(step) for step in (1, 2, 3, 4)] == [False, True, False, True]
    assert [len(step) for step in plan().epoch(1)] == [2, 2]


def test_the_largest_batch_is_measured_first() -> None:
    assert in_order_of_length([5, 9, 1], 2) == [[1, 0], [2]]


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        # 10 steps, 2 of warm-up: half the peak, the peak, then down over the 8 that are left (done = 0/8 ... 7/8).
        ("linear", {1: 0.5, 2: 1.0, 3: 1.0, 7: 0.5, 10: 0.125}),
        ("cosine", {1: 0.5, 2: 1.0, 3: 1.0, 7: 0.5, 9: 0.14644660940672627}),
        ("constant", {1: 0.5, 2: 1.0, 10: 1.0}),
    ],
)
def test_the_learning_rate_rises_and_falls(scheduler: str, expected: dict[int, float]) -> None:
    found = {step: learning_rate_at(step, 10, 1.0, 2, scheduler) for step in expected}  # type: ignore[arg-type]
    assert found == pytest.approx(expected)


def test_patience_counts_measurements_without_a_better_one() -> None:
    stopper = EarlyStopper(patience=2)
    assert stopper.observe(1.0, 10)
    assert not stopper.observe(1.0, 20)
    assert not stopper.exhausted
    assert stopper.observe(0.9, 30)
    assert not stopper.observe(float("nan"), 40)
    assert not stopper.observe(0.95, 50)
    assert stopper.exhausted
    assert (stopper.best, stopper.best_step) == (0.9, 30)
    assert EarlyStopper(**stopper.state()) == stopper
