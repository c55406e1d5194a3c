"""Pieces of any length, read in the lengths asked for; its beginning can be looked at ahead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["Head", "Stream"]

_AHEAD = 1 << 20


class Stream:
    """A reader over pieces; it holds no more of them than were asked for and one piece."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces: Iterator[bytes] = iter(pieces)
        self._rest = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """Return the next ``size`` bytes, fewer only at the end."""
        taken: list[memoryview] = []
        while size and self._fill():
            taken.append(self._rest[:size])
            self._rest = self._rest[size:]
            size -= len(taken[-1])
        return b"".join(taken)

    def readinto(self, target: memoryview, /) -> int:
        """Copy what is at hand, at most the target's length, and return how much; 0 only at the end."""
        if not self._fill():
            return 0
        size = min(len(target), len(self._rest))
        target[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def put_back(self, content: bytes) -> None:
        """Make bytes the next that are read."""
        self._rest = memoryview(b"".join((content, self._rest)))

    def _fill(self) -> bool:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._rest = memoryview(piece).cast("B")
        return True


class Head:
    """The beginning of a stream, read ahead: many small reads are cheap, and ``put_back`` makes them undone."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._seen = bytearray()
        self._position = 0

    def read(self, size: int, /) -> bytes:
        """Return the next ``size`` bytes, fewer only at the end."""
        content = self.peek(size)
        self._position += len(content)
        return content

    def peek(self, size: int, /) -> bytes:
        """Return the next ``size`` bytes, fewer only at the end, and stay before them."""
        if (lacking := self._position + size - len(self._seen)) > 0:
            self._seen += self._stream.read(max(lacking, _AHEAD))
        return bytes(self._seen[self._position : self._position + size])

    def put_back(self) -> None:
        """Give back to the stream all that was read."""
        self._stream.put_back(bytes(self._seen))
        self._seen = bytearray()
