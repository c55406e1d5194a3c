"""The one clock of the house: aware UTC times."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["now"]


def now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)
