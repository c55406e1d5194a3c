"""Cut a stream into segments: where tensors begin, or where the content itself says.

The cut points are what makes a near copy's pieces equal or comparable to those kept already, so they must never change
for what is stored: not the piece length, not the rule that joins small parts, not the chunker's parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from blake3 import blake3

from tunery.errors import FormatInvalid
from tunery.platform.blobs.stream import Head, Stream
from tunery.plugins import Registry

__all__ = ["LAYOUTS", "Cut", "Laid", "Layout", "Part", "cut"]

PIECE_BYTES = 16 << 20
JOINED_BYTES = 64 << 10
"""Neighbouring parts are joined while they have no more together: 100,000 tiny tensors become few segments."""

CHUNK_BYTES = (64 << 10, 256 << 10, 1 << 20)
"""Least, middle and most bytes of a chunk. Source: Xia et al., "The Design of Fast Content-Defined Chunking for Data
Deduplication Based Storage Systems" (IEEE TPDS 2020), normalization 1, the paper's gear table."""

GENERIC = "application/octet-stream"


@dataclass(frozen=True)
class Cut:
    """One segment of a file.

    Attributes:
        size: Its bytes.
        width: Bytes of each float in it; 1 where it holds none.
        key: Names the same piece in a near copy of the file; None where only equal content can be found again.
    """

    size: int
    width: int
    key: str | None


@dataclass(frozen=True)
class Part:
    """A run of a file's bytes: ``identity`` says what it is (name, dtype, shape), ``width`` as in ``Cut``."""

    identity: str
    size: int
    width: int


@dataclass(frozen=True)
class Laid:
    """How a file lies: its header, its parts one after another, and how many bytes of padding may end it."""

    header_bytes: int
    parts: list[Part]
    padding: int = 0


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Layout:
    """A file format whose parts are found from its beginning.

    Attributes:
        media_type: Who declares it means it: a file that breaks the format is refused.
        begins: Tells from the first 16 bytes whether a file may be one.
        read: Reads the header from the beginning of a stream, and no more memory than a header may take.
            Raises FormatInvalid with the reason.
    """

    media_type: str
    begins: Callable[[bytes], bool]
    read: Callable[[Readable], Laid]


LAYOUTS: Registry[Layout] = Registry("layout", builtins=("tunery.weights.layouts",))


def cut(pieces: Iterable[bytes], media_type: str = GENERIC) -> Iterator[tuple[Cut, bytes]]:
    """Yield the segments of a file in order, none empty, none over 16 MiB; together they are the file.

    However the stream comes in pieces, the cuts are the same. A file of a known layout is cut after its header, at its
    tensors, and every 16 MiB inside one; any other by its content into 64 KiB to 1 MiB.

    Raises: FormatInvalid: the media type declares a layout that the bytes break; segments may have been yielded before.
        Under any other media type such a file is cut by its content.
    """
    stream = Stream(pieces)
    declared = next((layout for _, layout in LAYOUTS if layout.media_type == media_type), None)
    laid = _lay_out(stream, declared)
    if laid is not None:
        yield from _pieces(stream, laid.header_bytes, 1, None)
        missing = 0
        for part in _joined(laid.parts):
            missing += yield from _pieces(stream, part.size, part.width, part.identity)
        if declared is not None:
            yield from _ending(stream, missing, laid.padding)
    yield from _chunks(stream)


def _lay_out(stream: Stream, declared: Layout | None) -> Laid | None:
    """Read the header ahead; None for content without a layout, or that only looks like it."""
    head = Head(stream)
    try:
        if declared is not None:
            return declared.read(head)
        first = head.peek(16)
        layout = next((layout for _, layout in LAYOUTS if layout.begins(first)), None)
        return layout.read(head) if layout is not None else None
    except FormatInvalid:
        if declared is not None:
            raise
        return None
    finally:
        head.put_back()


def _joined(parts: list[Part]) -> Iterator[Part]:
    run: list[Part] = []
    size = 0
    for part in parts:
        if run and (part.width != run[0].width or size + part.size > JOINED_BYTES):
            yield Part("\n".join(one.identity for one in run), size, run[0].width)
            run, size = [], 0
        run.append(part)
        size += part.size
    if run:
        yield Part("\n".join(one.identity for one in run), size, run[0].width)


def _pieces(stream: Stream, size: int, width: int, identity: str | None) -> Generator[tuple[Cut, bytes], None, int]:
    """Yield a part in pieces; the generator's value is how many of its bytes the stream lacks."""
    for start in range(0, size, PIECE_BYTES):
        content = stream.read(min(PIECE_BYTES, size - start))
        if content:
            yield Cut(len(content), width, _key(identity, start // PIECE_BYTES)), content
        if len(content) < min(PIECE_BYTES, size - start):
            return size - start - len(content)
    return 0


def _key(identity: str | None, number: int) -> str | None:
    return None if identity is None else blake3(f"{identity}#{number}".encode()).hexdigest(length=8)


def _ending(stream: Stream, missing: int, padding: int) -> Iterator[tuple[Cut, bytes]]:
    if missing:
        raise FormatInvalid(f"the file ends {missing} bytes before its last tensor does; send the whole file")
    rest = stream.read(padding + 1)
    if len(rest) > padding:
        raise FormatInvalid("bytes follow the last tensor; send the file without them")
    if rest:
        yield Cut(len(rest), 1, None), rest


def _chunks(stream: Stream) -> Iterator[tuple[Cut, bytes]]:
    from pyfastcdc import FastCDC

    least, middle, most = CHUNK_BYTES
    chunker = FastCDC(middle, min_size=least, max_size=most, normalized_chunking=1, seed=0)
    for chunk in chunker.cut_stream(stream):
        yield Cut(chunk.length, 1, None), bytes(chunk.data)
