"""The subject index of a file of rows: which of them an entry leads to.

    records of 24 bytes, sorted: 16 bytes of the entry's hash, 4 of its key and spelling, row number (big-endian)

Hashes are evenly spread, so a record's place is guessed and a few kilobytes around it are read: one lookup costs about
as much as reading one piece of the store, however long the index. It lies in the store beside its file, sealed like it,
and goes with it.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MEDIA_TYPE", "RECORD_BYTES", "Records", "SubjectIndex", "build_index", "records_of"]

MEDIA_TYPE = "application/x-tunery-subjects"
RECORD_BYTES = 24

_HELD_BYTES = 4 << 20
_SORTED_BYTES = 64 << 20
_PIECE_RECORDS = 1 << 16
_SAMPLED = 64
"""Records of a piece by which it is guessed where to cut: parts then differ by a few percent, whatever is in them."""

Read = Callable[[int, int], bytes]
"""Return so many bytes from a place on."""


def build_index(entries: Iterable[tuple[bytes, int]]) -> bytes:
    """Return the index of entries and the numbers of their rows."""
    records = Records()
    for entry, number in entries:
        records.add([entry], number)
    return b"".join(records.in_order())


def records_of(entries: NDArray[np.uint8], numbers: NDArray[np.int64]) -> bytes:
    """Return the records of entries, uint8 [entries, 20], and the numbers of their rows."""
    import numpy as np

    last = numbers.astype(">u4").view(np.uint8).reshape(-1, 4)
    return np.concatenate([entries[:, 4:], entries[:, :4], last], axis=1).tobytes()


def _words(records: bytes) -> NDArray[np.uint64]:
    import numpy as np

    return np.frombuffer(records, ">u8").reshape(-1, RECORD_BYTES // 8)


def _in_order(records: bytes) -> bytes:
    import numpy as np

    words = _words(records)
    order = np.lexsort(tuple(words[:, column].astype(np.uint64) for column in (2, 1, 0)))
    return words[order].tobytes()


def _before(words: NDArray[np.uint64], bound: NDArray[np.uint64] | None) -> NDArray[np.bool_]:
    """Tell which records come before a bound; before None come all."""
    import numpy as np

    if bound is None:
        return np.ones(len(words), bool)
    first, second, third = (words[:, column].astype(np.uint64) for column in range(3))
    later = (second < bound[1]) | (second == bound[1]) & (third < bound[2])
    before: NDArray[np.bool_] = np.where(first == bound[0], later, first < bound[0])
    return before


class Records:
    """Records of an index to be, in the order they came; many lie on the disk.

    Args:
        folder: Where on the disk; none: the system's folder for temporary files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        where = str(folder) if folder else None
        self._file = tempfile.SpooledTemporaryFile(_HELD_BYTES, dir=where)  # noqa: SIM115 it lives as long as this

    def __len__(self) -> int:
        return self._file.tell() // RECORD_BYTES

    def add(self, entries: Iterable[bytes], number: int) -> None:
        """Add that entries lead to a row."""
        last = number.to_bytes(4, "big")
        self._file.write(b"".join(entry[4:] + entry[:4] + last for entry in entries))

    def extend(self, records: bytes) -> None:
        """Add records."""
        self._file.write(records)

    def read(self) -> bytes:
        """Return all of them."""
        return b"".join(self._pieces())

    def in_order(self) -> Iterator[bytes]:
        """Yield the index that they make, as much at a time as memory may hold."""
        for first, last in pairwise([_words(bytes(RECORD_BYTES))[0], *self._bounds(), None]):
            chosen = []
            for piece in self._pieces():
                words = _words(piece)
                chosen.append(words[_before(words, last) & ~_before(words, first)].tobytes())
            yield _in_order(b"".join(chosen))

    def _bounds(self) -> Iterator[NDArray[np.uint64]]:
        """Yield where to cut: between row numbers too, for one entry may be in most of the rows."""
        import numpy as np

        parts = len(self) * RECORD_BYTES // _SORTED_BYTES + 1
        if parts > 1:
            drawn, sample = np.random.default_rng(0), []
            for piece in self._pieces():
                words = _words(piece)
                sample.append(words[drawn.integers(len(words), size=_SAMPLED)].tobytes())
            words = _words(_in_order(b"".join(sample)))
            yield from (words[len(words) * part // parts] for part in range(1, parts))

    def _pieces(self) -> Iterator[bytes]:
        self._file.seek(0)
        while piece := self._file.read(_PIECE_RECORDS * RECORD_BYTES):
            yield piece


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
