"""The one clock of the house: aware UTC times."""

from __future__ import annotations

from datetime import UTC, datetime

from tunery.errors import InvalidInput

__all__ = ["now", "parse_time"]


def now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


def parse_time(text: str) -> datetime:
    """Return the time an ISO 8601 text names; one without a zone is UTC. Raises: InvalidInput."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"{text[:40]!r} is no time; write it like 2026-11-20T10:00:00Z") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)
