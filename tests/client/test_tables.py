"""Rows of a program that no file can hold are named (DAT-08)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunery.client.tables import write_table
from tunery.errors import InvalidInput


def test_a_value_that_json_has_not_is_named_by_row_and_column(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="row 2, column 'b' cannot be written as JSON"):
        write_table([{"a": 1}, {"a": 1, "b": float("nan")}], tmp_path, "rows")
