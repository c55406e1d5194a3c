"""The subject index of a file of rows: which of them an entry leads to.

    records of 24 bytes, sorted: 16 bytes of the entry's hash, 4 of its key and spelling, row number (big-endian)

Hashes are evenly spread, so a record's place is guessed and a few kilobytes around it are read: one lookup costs about
as much as reading one piece of the store, however long the index. It lies in the store beside its file, sealed like it,
and goes with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

__all__ = ["MEDIA_TYPE", "RECORD_BYTES", "SubjectIndex", "build_index"]

MEDIA_TYPE = "application/x-tunery-subjects"
RECORD_BYTES = 24

Read = Callable[[int, int], bytes]
"""Return so many bytes from a place on."""


def build_index(entries: Iterable[tuple[bytes, int]]) -> bytes:
    """Return the index of entries and the numbers of their rows."""
    import numpy as np

    records = b"".join(entry[4:] + entry[:4] + number.to_bytes(4, "big") for entry, number in entries)
    words = np.frombuffer(records, ">u8").reshape(-1, 3)
    return words[np.lexsort((words[:, 2], words[:, 1], words[:, 0]))].tobytes()


class SubjectIndex:
    """An index, read where it is needed.

    Args:
        read: Reads a piece of it.
        size: Its length in bytes.
    """

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self._count = size // RECORD_BYTES

    def rows(self, entry: bytes) -> list[int]:
        """Return the numbers of the rows that an entry leads to, in order."""
        wanted, found = entry[4:] + entry[:4], []
        records = self._around(wanted)
        place = records.find(wanted)
        while place >= 0:
            if place % RECORD_BYTES == 0:
                found.append(int.from_bytes(records[place + len(wanted) : place + RECORD_BYTES], "big"))
            place = records.find(wanted, place + 1)
        return found

    def _around(self, wanted: bytes) -> bytes:
        """Return a stretch of records that holds all with this beginning; twice as long until it surely does."""
        guess = int.from_bytes(wanted[:8], "big") * self._count >> 64
        reach = 64 + 4 * math.isqrt(self._count)
        while True:
            first, last = max(0, guess - reach), min(self._count, guess + reach)
            records = self._read(first * RECORD_BYTES, (last - first) * RECORD_BYTES)
            if (first == 0 or records[:20] < wanted) and (last == self._count or records[-24:-4] > wanted):
                return records
            reach *= 2
