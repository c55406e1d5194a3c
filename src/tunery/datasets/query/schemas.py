"""Shapes of a query and of what it found."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tunery.platform.http import Camel

__all__ = ["MOST_ROWS", "ColumnView", "DatasetQuery", "QueryResult"]

MOST_ROWS = 10_000


class DatasetQuery(Camel):
    """A question in SQL."""

    sql: str = Field(
        min_length=1,
        max_length=100_000,
        description='One SELECT. Tables are datasets by name, quoted where it is no plain word: "name", "name:2", '
        '"name:gold". Their columns: row_id, split, line, and those of the rows; nested ones are JSON.',
    )
    limit: int = Field(100, ge=1, le=MOST_ROWS, description="Most rows of the answer.")


class ColumnView(Camel):
    """A column of the answer."""

    name: str
    type: str = Field(description="As DuckDB calls it.")


class QueryResult(Camel):
    """What a query found."""

    columns: list[ColumnView]
    rows: list[list[Any]]
    truncated: bool = Field(description="Whether there are more rows than are shown.")
    tables: dict[str, str] = Field(description="The dataset version that each table named was.")
