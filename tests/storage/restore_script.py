"""Kill a restore before its N-th deed on disk or database, repeat it, kill that one a step later, until one ends."""

from __future__ import annotations

import itertools
import signal
import sys

from tests.storage.kill_script import in_child, kill_before
from tunery.rooms import load_rooms
from tunery.settings import Settings
from tunery.storage.backup.restoring import restore_backup


def main(settings: Settings, url: str, step: int) -> None:
    """Print how often it was killed."""
    load_rooms()
    for attempt in itertools.count():

        def run(number: int = 1 + attempt * step) -> None:
            kill_before(number)
            restore_backup(settings, url)

        ended = in_child(run)
        if ended == 0:
            sys.stdout.write(f"{attempt}\n")
            return
        assert ended == -signal.SIGKILL, f"deed {1 + attempt * step}: {ended}"


if __name__ == "__main__":
    main(Settings.model_validate_json(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
