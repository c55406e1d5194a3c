"""One real Tunery on its own socket for the tests of a file, and what its people made."""

from __future__ import annotations

from tests.doors.door import door
from tests.doors.things import admin, things

__all__ = ["admin", "door", "things"]
