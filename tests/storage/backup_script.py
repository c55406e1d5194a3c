"""Kill a backup or a restore before its N-th deed, repeat it, kill that one a step later, until one ends."""

from __future__ import annotations

import itertools
import signal
import sys
from collections.abc import Callable

from tests.storage.kill_script import in_child, kill_before
from tunery.platform.blobs.opening import master_keys
from tunery.platform.ground import Ground
from tunery.rooms import load_rooms
from tunery.settings import Settings
from tunery.storage.backup.creating import create_backup
from tunery.storage.backup.restoring import restore_backup
from tunery.storage.backup.target import open_target


def create(settings: Settings, url: str) -> None:
    """Make a backup, as its job does."""
    create_backup(Ground.build(settings), open_target(url, master_keys(settings), make=True))


def main(deed: Callable[[Settings, str], object], settings: Settings, url: str, step: int) -> None:
    """Print how often it was killed."""
    load_rooms()
    for attempt in itertools.count():

        def run(number: int = 1 + attempt * step) -> None:
            kill_before(number)
            deed(settings, url)

        ended = in_child(run)
        if ended == 0:
            sys.stdout.write(f"{attempt}\n")
            return
        assert ended == -signal.SIGKILL, f"deed {1 + attempt * step}: {ended}"


if __name__ == "__main__":
    deeds: dict[str, Callable[[Settings, str], object]] = {"create": create, "restore": restore_backup}
    main(deeds[sys.argv[1]], Settings.model_validate_json(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
