"""What it means when a disk refuses."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from tunery.errors import Exhausted, Unavailable

__all__ = ["disk_faults", "is_broken"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE}
_BROKEN = {errno.EIO, errno.EROFS}
_BARRED = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ESTALE, errno.ETIMEDOUT}


def is_broken(error: OSError) -> bool:
    """Tell whether the disk itself failed, so that nothing it says can be relied on."""
    return error.errno in _BROKEN


@contextmanager
def disk_faults() -> Iterator[None]:
    """Raise the house's errors for a disk's refusals: Exhausted where there is no room, Unavailable where it failed."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise Exhausted(
                f"no room in the store ({error.strerror}); nothing of this was kept, free some and try again"
            ) from error
        if is_broken(error):
            raise Unavailable(f"the disk failed ({error.strerror}); nothing of this was kept, check it") from error
        if error.errno in _BARRED:
            raise Unavailable(
                f"the folder of the store cannot be used ({error.strerror}); nothing of this was kept, check who owns "
                f"it and whether it is mounted"
            ) from error
        raise
