"""Lossless codecs of segments. The smallest is chosen, what it gives is opened and compared before it is used.

    raw                         as it is
    zstd                        one zstd frame
    planes2, planes4, planes8   byte planes of words of that many bytes (``planes``)
    delta1, diff2, diff4, diff8 the same, of the differences to a reference of equal length
    delta2, delta4, delta8      the same, put in the order of the reference's exponents

The names are recorded beside each segment: what a name means never changes, another format gets another name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tunery.errors import IntegrityError
from tunery.platform.blobs.deflate import deflate, inflate
from tunery.platform.blobs.planes import pack_planes, unpack_planes

__all__ = ["CODECS", "MAX_SEGMENT_BYTES", "QUICK", "SMALL", "Encoded", "decode", "encode"]

MAX_SEGMENT_BYTES = 16 << 20

QUICK = 3
SMALL = 6
"""Levels: from ``SMALL`` on differences are ordered, for fewer bytes and less speed (docs/benchmarks.md)."""


@dataclass(frozen=True)
class Codec:
    """How a segment is written: in planes of ``width``-byte words (0: no planes), alone or ``against`` a reference.

    What is against a reference may be ``ordered`` by its exponents.
    """

    name: str
    width: int = 0
    against: bool = False
    ordered: bool = False

    def encode(self, content: memoryview, reference: memoryview | None) -> bytes | memoryview:
        if self.name == "raw":
            return content
        if self.name == "zstd":
            return deflate(content)
        return pack_planes(content, self.width, reference if self.against else None, ordered=self.ordered)

    def decode(self, data: memoryview, size: int, reference: memoryview | None) -> memoryview:
        if self.name == "raw":
            return data
        if self.name == "zstd":
            return memoryview(inflate(data, size))
        return unpack_planes(data, size, self.width, reference if self.against else None, ordered=self.ordered)


_RAW = Codec("raw")
_ZSTD = Codec("zstd")
_PLANES = {width: Codec(f"planes{width}", width) for width in (2, 4, 8)}
_BYTES = Codec("delta1", 1, against=True)
_DIFFERENCES = {1: _BYTES, **{width: Codec(f"diff{width}", width, against=True) for width in _PLANES}}
_ORDERED = {1: _BYTES, **{width: Codec(f"delta{width}", width, against=True, ordered=True) for width in _PLANES}}
CODECS: dict[str, Codec] = {
    codec.name: codec for codec in (_RAW, _ZSTD, *_PLANES.values(), *_DIFFERENCES.values(), *_ORDERED.values())
}

_SAMPLES = 8
_SAMPLE_BYTES = 16 << 10
_EXACT_BYTES = 256 << 10
"""Up to this size every codec is tried on the whole; above, on the samples."""


@dataclass(frozen=True)
class Encoded:
    """What to keep of a segment: the name of its codec, and the bytes (the content itself where that is ``raw``)."""

    codec: str
    data: bytes | memoryview


def encode(
    content: bytes | memoryview, *, width: int = 1, reference: bytes | memoryview | None = None, level: int = QUICK
) -> Encoded:
    """Encode a segment as small as the codecs can, never larger than it is; what comes back was decoded and compared.

    Args:
        content: At most 16 MiB.
        width: Bytes of each float in it: 2, 4 or 8; 1 where there are none.
        reference: Plain bytes of the same length that it may be a near copy of; needed again to decode a difference.
        level: 1 to 22, as they say it of compressors; see ``SMALL``.

    Raises: IntegrityError: the encoded bytes do not decode to the content, so memory or a library is at fault.
    """
    plain = memoryview(content).cast("B")
    other = None if reference is None else memoryview(reference).cast("B")
    if len(plain) > MAX_SEGMENT_BYTES or (other is not None and len(other) != len(plain)):
        raise ValueError("a segment has at most 16 MiB, and a reference is as long as it is")
    best: tuple[Codec, bytes | memoryview] = (_RAW, plain)
    for codec in _worth_trying(plain, width, other, level):
        data = codec.encode(plain, other)
        if len(data) < len(best[1]):
            best = codec, data
    codec, data = best
    if codec is not _RAW and not _equal(decode(codec.name, data, len(plain), other), plain):
        raise IntegrityError(f"a segment does not survive the codec {codec.name}; nothing was kept. Check the memory")
    return Encoded(codec.name, data)


def decode(codec: str, data: bytes | memoryview, size: int, reference: bytes | memoryview | None = None) -> memoryview:
    """Return the ``size`` bytes of a segment.

    Raises: IntegrityError: the data is damaged, the codec unknown, or the reference missing or of another length.
    """
    if codec not in CODECS:
        raise IntegrityError(f"there is no codec {codec[:40]!r}; the segment was written by a newer Tunery, or damaged")
    if not 0 <= size <= MAX_SEGMENT_BYTES:
        raise IntegrityError(f"a segment of {size} bytes cannot be; at most {MAX_SEGMENT_BYTES} are kept in one")
    other = None if reference is None else memoryview(reference).cast("B")
    if CODECS[codec].against and (other is None or len(other) != size):
        raise IntegrityError(f"a segment of {size} bytes leans on a reference that is missing or of another length")
    plain = CODECS[codec].decode(memoryview(data).cast("B"), size, other)
    if len(plain) != size:
        raise IntegrityError(f"a segment decodes to {len(plain)} bytes, not to {size}")
    return plain


def _worth_trying(content: memoryview, width: int, reference: memoryview | None, level: int) -> Iterator[Codec]:
    """Every codec that may fit; of a large segment of floats only the one that makes its samples smallest."""
    fitting = [_ZSTD]
    if width in _PLANES:
        fitting.append(_PLANES[width])
    if reference is not None:
        fitting.append((_ORDERED if level >= SMALL else _DIFFERENCES)[width])
    if len(fitting) == 1 or len(content) <= _EXACT_BYTES:
        return iter(fitting)
    sample = _sample(content)
    other = None if reference is None else _sample(reference)
    sizes = {codec.name: len(codec.encode(sample, other)) for codec in fitting}
    best = min(sizes, key=lambda name: sizes[name])
    return iter([CODECS[best]] if sizes[best] < len(sample) else [])


def _sample(content: memoryview) -> memoryview:
    """Runs at even distances; they begin at multiples of 8 bytes, so that every word stays whole."""
    step = (len(content) - _SAMPLE_BYTES) // (_SAMPLES - 1) // 8 * 8
    runs = (content[start : start + _SAMPLE_BYTES] for start in range(0, _SAMPLES * step, step))
    return memoryview(b"".join(runs))


def _equal(one: memoryview, other: memoryview) -> bool:
    # As bytes: compared as floats, -0.0 would equal 0.0, and no NaN itself.
    return bool(np.array_equal(np.frombuffer(one, np.uint8), np.frombuffer(other, np.uint8)))
