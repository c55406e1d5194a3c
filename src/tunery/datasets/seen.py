"""Which digests came before, in bounded memory however many there are.

The newest are held in memory. When there are many they go into a sorted file, and such files are merged into one; a
Bloom filter of 32 MiB tells of most digests that no file has them (Bloom 1970, two probes: of 20 million that did not
come before 2 % are looked for in vain).
"""

from __future__ import annotations

import os
import tempfile
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

__all__ = ["DIGEST_BYTES", "Seen"]

DIGEST_BYTES = 16

_RECORD = 24
_BLOCK = 256
_HELD = 1 << 18
_FILES = 8
_BITS = 1 << 28
_PLACE = (_BITS >> 3) - 1


class Seen:
    """A set of evenly spread digests of 16 bytes, each with the number it came with.

    Args:
        folder: A private folder for what memory does not hold; none: the system's.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._held: dict[bytes, int] = {}
        self._files: list[_Sorted] = []
        self._filter = bytearray()

    def add(self, digest: bytes, number: int = 0) -> bool:
        """Note a digest; false: it came before, and keeps its number."""
        if digest in self._held or (self._files and self.number(digest) is not None):
            return False
        self._held[digest] = number
        if len(self._held) >= _HELD:
            self._put_down()
        return True

    def add_all(self, digests: Sequence[bytes], numbers: Sequence[int] | None = None) -> list[bool]:
        """Note digests in order, each with its number; tell of each what ``add`` tells."""
        filed = self._each_may_have(digests) if self._files else [False] * len(digests)
        held, told = self._held, []
        for digest, number, may_have in zip(digests, numbers or [0] * len(digests), filed, strict=True):
            new = digest not in held and not (may_have and self.number(digest) is not None)
            if new:
                held[digest] = number
            told.append(new)
        if len(held) >= _HELD:
            self._put_down()
        return told

    def number(self, digest: bytes) -> int | None:
        """Return the number that a digest came with; None: it did not come."""
        number = self._held.get(digest)
        if number is None and self._files and self._may_have(digest):
            return next((found for file in self._files if (found := file.number(digest)) is not None), None)
        return number

    def _may_have(self, digest: bytes) -> bool:
        one, other = int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")
        bits = self._filter
        return bool(bits[one & _PLACE] >> (one >> 29) & bits[other & _PLACE] >> (other >> 29) & 1)

    def _each_may_have(self, digests: Sequence[bytes]) -> list[bool]:
        import numpy as np

        heads = _heads(digests)
        bits = np.frombuffer(self._filter, np.uint8)[heads & _PLACE] >> (heads >> 29) & 1
        found: list[bool] = bits.all(axis=1).tolist()
        return found

    def _put_down(self) -> None:
        import numpy as np

        self._filter = self._filter or bytearray(_PLACE + 1)
        heads = _heads(self._held)
        records = np.empty((len(heads), _RECORD // 8), ">u8")
        records[:, :2] = np.frombuffer(b"".join(self._held), ">u8").reshape(-1, 2)
        records[:, 2] = [*self._held.values()]
        np.bitwise_or.at(
            np.frombuffer(self._filter, np.uint8), heads & _PLACE, np.left_shift(1, heads >> 29).astype(np.uint8)
        )
        self._files.insert(0, _Sorted(self._folder, iter([records.tobytes()])))
        self._held.clear()
        if len(self._files) > _FILES:
            self._files = [_Sorted(self._folder, _merged(self._files))]


class _Sorted:
    """Records of 24 bytes in a file, sorted: a digest and its number."""

    def __init__(self, folder: Path | None, parts: Iterator[bytes]) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 it lives as long as this
        self._firsts: list[bytes] = []
        self.count = 0
        left = b""
        for part in parts:
            records = left + _in_order(part)
            whole = len(records) // (_RECORD * _BLOCK) * _RECORD * _BLOCK
            self._write(records[:whole])
            left = records[whole:]
        self._write(left)
        self._file.flush()

    def _write(self, records: bytes) -> None:
        self._file.write(records)
        step = _RECORD * _BLOCK
        self._firsts += [records[start : start + DIGEST_BYTES] for start in range(0, len(records), step)]
        self.count += len(records) // _RECORD

    def read(self, start: int, end: int) -> bytes:
        """Return the records from one number up to another."""
        return os.pread(self._file.fileno(), (end - start) * _RECORD, start * _RECORD)

    def number(self, digest: bytes) -> int | None:
        block = bisect_right(self._firsts, digest) - 1
        records = self.read(block * _BLOCK, (block + 1) * _BLOCK) if block >= 0 else b""
        place = records.find(digest)
        while place % _RECORD and place >= 0:
            place = records.find(digest, place + 1)
        return None if place < 0 else int.from_bytes(records[place + DIGEST_BYTES : place + _RECORD], "big")

    def place(self, digest: bytes) -> int:
        """Return how many of its digests are less than this one."""
        return bisect_left(range(self.count), digest, key=lambda number: self.read(number, number + 1)[:DIGEST_BYTES])


def _heads(digests: Iterable[bytes]) -> Any:
    """Return the two halves of the first eight bytes of each."""
    import numpy as np

    return np.frombuffer(b"".join(digests), "<u4").reshape(-1, DIGEST_BYTES // 4)[:, :2]


def _merged(files: list[_Sorted]) -> Iterator[bytes]:
    """Yield the records of all files, those between two digests at a time."""
    parts = sum(file.count for file in files) // _HELD + 1
    starts = [0] * len(files)
    for part in range(1, parts + 1):
        bound = ((part << 128) // parts).to_bytes(17, "big")[1:]
        ends = [file.count if part == parts else file.place(bound) for file in files]
        yield b"".join(file.read(start, end) for file, start, end in zip(files, starts, ends, strict=True))
        starts = ends


def _in_order(records: bytes) -> bytes:
    import numpy as np

    words = np.frombuffer(records, ">u8").reshape(-1, _RECORD // 8)
    return words[np.lexsort((words[:, 1].astype(np.uint64), words[:, 0].astype(np.uint64)))].tobytes()
