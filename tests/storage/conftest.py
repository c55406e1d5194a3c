"""The house behind its door, for uploads over a real server."""

from __future__ import annotations

from tests.doors.door import door
from tests.doors.things import admin

__all__ = ["admin", "door"]
