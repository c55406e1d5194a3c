"""Floats as byte planes: bytes of equal significance lie together, each plane deflated where that saves something.

The high bytes of a model's floats repeat, the low ones do not. Transforms come first:

* Alone, each word is rotated left by one bit, so that the whole exponent of a bf16 or fp32 lies in the top byte.
* Against a reference, each word becomes its wrap-around difference to the reference's word, zigzag-coded.
* Where they are ordered, the differences of a block are put in the order of the reference's exponents. Training moves
  large and small weights by about the same amount, so the large ones by few units in the last place and the small ones
  by many: sorted, equals lie together. How much that saves, and costs, stands in docs/benchmarks.md. Nothing is stored
  about the order, the reference tells it.

Layout: for each plane, least significant first, its length as uint32; the planes; the bytes past the last whole word.
A plane as long as there are words is plain, a shorter one is a zstd frame. All little-endian. It must never change.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunery.errors import IntegrityError
from tunery.platform.blobs.deflate import PLANE, deflate, inflate

__all__ = ["pack_planes", "unpack_planes"]

_BLOCK = 1 << 20
"""Words that are sorted together; part of the format. Larger blocks save 2 % and sort ten times slower."""

_LEAST_SAVING = 64
"""A plane is deflated only if that saves this part of it; less is not worth the time of every later reading."""

Words = NDArray[Any]
"""Unsigned little-endian words of 1, 2, 4 or 8 bytes."""


def pack_planes(
    content: memoryview, width: int, reference: memoryview | None = None, *, ordered: bool = False
) -> bytes:
    """Return content in planes of ``width``-byte words, as differences where a reference of its length is given."""
    words = _words(content, width)
    planes = np.empty((width, len(words)), np.uint8)
    against = None if reference is None else _words(reference, width)
    for block in _blocks(len(words)):
        moved = _rotate(words[block]) if against is None else _subtract(words[block], against[block], ordered)
        for place in range(width):
            planes[place, block] = moved >> 8 * place
    packed = [_deflate_plane(plane) for plane in planes]
    lengths = struct.pack(f"<{width}I", *map(len, packed))
    return b"".join([lengths, *packed, content[len(words) * width :]])


def unpack_planes(
    data: memoryview, size: int, width: int, reference: memoryview | None = None, *, ordered: bool = False
) -> memoryview:
    """Return the content of ``size`` bytes. Raises: IntegrityError: the data is no such packing."""
    count, tail = divmod(size, width)
    lengths = _lengths(data, width, count, tail)
    start, planes = 4 * width, []
    for length in lengths:
        piece = data[start : start + length]
        planes.append(np.frombuffer(piece if length == count else inflate(piece, count), np.uint8))
        start += length
    content = np.empty(size, np.uint8)
    content[size - tail :] = np.frombuffer(data[start:], np.uint8)
    words = content[: size - tail].view(f"<u{width}")
    against = None if reference is None else _words(reference, width)
    for block in _blocks(count):
        moved = _join([plane[block] for plane in planes], words.dtype)
        words[block] = _rotate_back(moved) if against is None else _add(moved, against[block], ordered)
    return content.data.toreadonly()


def _lengths(data: memoryview, width: int, count: int, tail: int) -> tuple[int, ...]:
    if len(data) < 4 * width:
        raise IntegrityError(f"a packing of {len(data)} bytes is too short for the lengths of {width} planes")
    lengths = struct.unpack_from(f"<{width}I", data)
    if max(lengths) > count or 4 * width + sum(lengths) + tail != len(data):
        raise IntegrityError("the planes of a packing do not fill it")
    return lengths


def _deflate_plane(plane: NDArray[np.uint8]) -> bytes | memoryview:
    small = deflate(plane.data, PLANE)
    return small if len(small) + len(plane) // _LEAST_SAVING < len(plane) else plane.data


def _words(content: memoryview, width: int) -> Words:
    return np.frombuffer(content, f"<u{width}", len(content) // width)


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, count, _BLOCK))


def _join(planes: list[NDArray[np.uint8]], dtype: np.dtype[Any]) -> Words:
    joined = planes[-1].astype(dtype)
    for plane in reversed(planes[:-1]):
        joined <<= 8
        joined |= plane
    return joined


def _rotate(words: Words) -> Words:
    return (words << 1) | (words >> _bits(words) - 1)


def _rotate_back(words: Words) -> Words:
    return (words >> 1) | (words << _bits(words) - 1)


def _subtract(words: Words, reference: Words, ordered: bool) -> Words:
    moved = (words - reference).view(f"<i{words.itemsize}")
    zigzag = ((moved << 1) ^ (moved >> _bits(words) - 1)).view(words.dtype)
    return zigzag[_order(reference)] if ordered else zigzag


def _add(zigzag: Words, reference: Words, ordered: bool) -> Words:
    moved = (zigzag >> 1) ^ -(zigzag & 1)
    if ordered:
        words = np.empty_like(moved)
        words[_order(reference)] = moved
        moved = words
    moved += reference
    return moved


def _order(reference: Words) -> NDArray[np.intp]:
    """Places of a block's words by the eight bits after the sign: of bf16 and fp32 the exponent."""
    # A counting sort as stable as numpy's stable argsort, so of the same places, in two fifths of the time.
    from pyarrow import array, compute

    keys = array(((reference << 1) >> _bits(reference) - 8).astype(np.uint8))
    return compute.array_sort_indices(keys).to_numpy().view(np.intp)  # type: ignore[no-any-return]


def _bits(words: Words) -> int:
    return 8 * words.itemsize
