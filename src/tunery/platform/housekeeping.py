"""Once a day, each home is cleared of what crashes left behind and of what has outlived its use.

A room registers a sweep: ``@SWEEPS.register("my things")`` above ``def sweep(ground, older_than_seconds) -> int``. A
sweep never takes what somebody works with, may be killed anywhere, and may run on several workers at once.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import structlog

from tunery.kit.ids import new_id
from tunery.platform.ground import Ground
from tunery.plugins import Registry
from tunery.settings import Settings

__all__ = ["DAY_SECONDS", "SCHEDULES", "SWEEPS", "clear_scratch", "enqueue_due", "keep_house", "scratch_folder"]

log = structlog.get_logger(__name__)
DAY_SECONDS = 86_400.0
_STAGED = re.compile(r"\..+\.(\d+\.partial|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})")
"""Names of files before they are renamed to their own: ``.NAME.PID.partial`` and ``.NAME.UUID``."""

Sweep = Callable[[Ground, float], int]
SWEEPS: Registry[Sweep] = Registry("sweep")
SCHEDULES: Registry[Callable[[Ground], None]] = Registry("schedule")
"""Asked every few minutes on each worker, maybe on several at once: each enqueues its jobs whose time has come."""


def keep_house(
    ground: Ground, every_seconds: float = DAY_SECONDS, stopping: Callable[[], bool] = lambda: False
) -> None:
    """Run every sweep, unless this home was swept within ``every_seconds`` or is being swept at this moment.

    Once ``stopping`` says so no further sweep begins; the next start begins with the first again. Folders of dead
    processes go each time, for rows in plain text lie in them.
    """
    clear_scratch(ground.settings)
    with (ground.settings.folder() / "housekeeping").open("a+", encoding="utf-8") as stamp:
        if not _lock(stamp.fileno()):
            return
        stamp.seek(0)
        with suppress(ValueError):  # a power cut may leave anything
            if time.time() - float(stamp.read() or 0) < every_seconds:
                return
        for name, sweep in SWEEPS:
            if stopping():
                return
            try:
                count = sweep(ground, DAY_SECONDS)
            except Exception:  # noqa: BLE001 the other sweeps go on, and tomorrow this one tries again
                log.warning("a sweep failed; tomorrow it tries again", sweep=name, traceback=traceback.format_exc())
            else:
                log.info("swept", sweep=name, removed=count)
        stamp.truncate(0)
        stamp.write(str(time.time()))


def enqueue_due(ground: Ground, stopping: Callable[[], bool] = lambda: False) -> None:
    """Ask every schedule for jobs whose time has come, until ``stopping`` says so."""
    for name, enqueue in SCHEDULES:
        if stopping():
            return
        try:
            enqueue(ground)
        except Exception:  # noqa: BLE001 the others go on, and in some minutes this one is asked again
            log.warning("a schedule failed; it is asked again", schedule=name, traceback=traceback.format_exc())


@contextmanager
def scratch_folder(settings: Settings, what: str) -> Iterator[Path]:
    """Give a new private folder that is removed with the block; after a ``kill -9`` ``clear_scratch`` removes it.

    Args:
        settings: Of the home that it lies in.
        what: What it is for; its name begins so.
    """
    folder, lock = _held_folder(settings, what)
    try:
        inside = folder / "files"
        inside.mkdir(mode=0o700)
        yield inside
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()


def _held_folder(settings: Settings, what: str) -> tuple[Path, IO[str]]:
    """Make a folder and take its lock; one that was cleared away between the two is made anew."""
    while True:
        folder = settings.folder("scratch", f"{what}-{new_id()}")
        with suppress(FileNotFoundError):
            lock = (folder / "lock").open("w", encoding="utf-8")
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _stands(lock, folder):
                return folder, lock
            lock.close()


def clear_scratch(settings: Settings) -> int:
    """Remove scratch folders whose process is gone, for their lock is free; return how many."""
    count = 0
    for folder in settings.folder("scratch").iterdir():
        with suppress(OSError), (folder / "lock").open("a", encoding="utf-8") as lock:  # gone, no folder, or not ours
            if _lock(lock.fileno()) and _stands(lock, folder):
                shutil.rmtree(folder, ignore_errors=True)  # it may come to be at this moment
                count += not folder.exists()
    return count


def _stands(lock: IO[str], folder: Path) -> bool:
    """Tell whether a lock that is held is the one that lies in the folder, and not one that was cleared away."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), (folder / "lock").stat())
    except FileNotFoundError:
        return False


@SWEEPS.register("staged files")
def _sweep_staged(ground: Ground, older_than_seconds: float) -> int:
    """Remove files below the cache that were never renamed to their own names."""
    staged = [path for path in ground.settings.folder("cache").rglob(".*") if _STAGED.fullmatch(path.name)]
    old = [path for path in staged if _is_older(path, older_than_seconds)]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


@SWEEPS.register("staged packs")
def _sweep_packs(ground: Ground, older_than_seconds: float) -> int:
    """Remove packs that were never placed."""
    old = [path for path in ground.settings.folder("staging").iterdir() if _is_older(path, older_than_seconds)]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _is_older(path: Path, seconds: float) -> bool:
    """Tell whether nothing was written or linked there for so long; a new link keeps only the time of its bytes."""
    try:
        return time.time() - path.lstat().st_ctime > seconds
    except FileNotFoundError:
        return False


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
