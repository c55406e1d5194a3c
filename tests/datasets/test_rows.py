"""A row keeps its identity."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunery.datasets.packed import chunked
from tunery.datasets.quarantine import RowFault
from tunery.datasets.rows import Row, RowIds

plain = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3)
rows = st.lists(st.dictionaries(st.sampled_from("abc"), plain, max_size=3), max_size=12)


def name_all(values: list[dict[str, Any]]) -> list[str]:
    ids = RowIds(None)
    return [ids.name(row, line) for line, row in enumerate(values, start=1)]


@settings(suppress_health_check=[HealthCheck.too_slow])  # the machine is shared
@given(rows)
def test_ids_are_unique_even_among_equal_rows(values: list[dict[str, Any]]) -> None:
    assert len(set(name_all(values))) == len(values)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_columns_does_not_change_the_ids(
    values: list[dict[str, Any]], rng: random.Random
) -> None:
    shuffled = [dict(reversed(row.items())) for row in values]
    rng.shuffle(shuffled)
    assert sorted(name_all(values)) == sorted(name_all(shuffled))


def test_the_first_equal_row_has_the_id_it_would_have_alone() -> None:
    alone = name_all([{"a": 1}])
    assert name_all([{"a": 1}, {"b": 2}, {"a": 1}])[0] == alone[0]
    assert len(alone[0]) == 32  # 128 bits in hex digits


def test_rows_travel_in_chunks_of_about_half_a_megabyte_however_deep_their_texts_lie() -> None:
    """Two of 300,000 characters are more than 2^19 = 524,288; of short rows 105 count as much (105 x 5,000)."""
    long = [Row(str(n), n, {"messages": [{"role": "user", "content": "x" * 300_000}]}) for n in range(5)]
    assert [len(chunk) for chunk in chunked(long)] == [1, 2, 2]
    assert [len(chunk) for chunk in chunked(Row(str(n), n, {"text": "x"}) for n in range(107))] == [1, 105, 1]


def test_a_key_column_names_its_rows() -> None:
    ids = RowIds("id")
    assert [ids.name({"id": "x-1"}, 1), ids.name({"id": 2}, 2)] == ["x-1", "2"]
    assert ids.count == 2
    with pytest.raises(RowFault, match="its key stands on line 1 already"):
        ids.name({"id": "x-1"}, 3)


@pytest.mark.parametrize(
    "row", [{}, {"id": None}, {"id": ""}, {"id": True}, {"id": 1.5}, {"id": []}, {"id": "x" * 300}]
)
def test_a_row_without_a_usable_key_is_a_fault(row: dict[str, Any]) -> None:
    with pytest.raises(RowFault, match="key"):
        RowIds("id").name(row, 1)
