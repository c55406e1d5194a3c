"""Run by the migration tests in a process of its own: migrate, and die at the N-th statement."""

from __future__ import annotations

import os
import signal
import sys

import sqlalchemy as sa

from tunery.platform.db.migrate import migrate_database
from tunery.rooms import load_rooms

if __name__ == "__main__":
    url, fatal = sys.argv[1], int(sys.argv[2])
    load_rooms()
    count = 0

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def _count(*_: object) -> None:
        global count
        count += 1
        if count == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    migrate_database(url, None)
    print(count)
