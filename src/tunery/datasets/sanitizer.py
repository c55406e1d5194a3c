"""R4's ``DatasetSanitizer``: the sanitising steps on plain lists of rows."""

from __future__ import annotations

from typing import Any

from tunery.datasets.sanitize.filter_by_length import length_of
from tunery.datasets.sanitize.strip_keys import without_keys

__all__ = ["DatasetSanitizer"]


class DatasetSanitizer:
    """Sanitise rows held in a list; the lists given are left as they are."""

    @staticmethod
    def strip_keys(data: list[dict[str, Any]], keys: list[str]) -> list[dict[str, Any]]:
        """Return the rows without those keys."""
        wanted = frozenset(keys)
        return [without_keys(row, wanted) for row in data]

    @staticmethod
    def filter_by_length(data: list[dict[str, Any]], key: str, max_len: int) -> list[dict[str, Any]]:
        """Return the rows whose value under ``key`` has at most ``max_len`` characters; a row without it is kept."""
        return [row for row in data if length_of(row.get(key)) <= max_len]
