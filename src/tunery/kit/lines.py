"""Lines of a stream of events: they end at a line feed and nowhere else, whatever Unicode calls a line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator

__all__ = ["async_lines_of", "lines_of"]


def lines_of(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of a stream of bytes, without their ends. Source: WHATWG HTML, "Server-sent events"."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from map(_text, lines)
    if rest:
        yield _text(rest)


async def async_lines_of(pieces: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Yield the lines of a stream of bytes as they come, without their ends."""
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield _text(line)
    if rest:
        yield _text(rest)


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", errors="replace")
