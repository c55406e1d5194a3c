"""Read and strictly check the header of a GGUF file; no tensor byte is read.

Layout: magic, version, counts, key-value pairs, tensor descriptions, padding, tensor bytes, all little-endian.
Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, section "File Structure".
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunery.errors import FormatInvalid
from tunery.weights.files import Readable, leads_away

__all__ = ["GgufHeader", "GgufTensor", "parse_gguf_header", "read_gguf_header"]

MAX_HEADER_BYTES = 64 * 1024 * 1024
MAX_PAIRS = 10_000
MAX_TENSORS = 100_000
MAX_ELEMENTS = 2_000_000
"""Of all arrays together: the largest vocabularies in use have 260,000 tokens, their scores and types, and some 500,000
merges."""

MAX_NAME_BYTES = 256
MAX_DIMENSIONS = 4
DEFAULT_ALIGNMENT = 32

_STRING, _ARRAY, _BOOL, _UINT32 = 8, 9, 7, 4
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", _UINT32: "I", 5: "i", 6: "f", _BOOL: "?", 10: "Q", 11: "q", 12: "d"}
"""``struct`` format by ``gguf_metadata_value_type``."""

_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip
"""Elements and bytes of one block by ``ggml_type``. Written out because a store takes GGUF files without the extra that
brings the package, too. Source: gguf 0.19, ``GGML_QUANT_SIZES``."""


@dataclass(frozen=True)
class GgufTensor:
    """Where one tensor lies: ``shape`` as numpy has it (rows first), ``start`` and ``end`` in bytes from the beginning
    of the file, ``kind`` the number of its ``ggml_type``."""

    name: str
    kind: int
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class GgufHeader:
    """The checked header: its key-value pairs (arrays as lists), its tensors in the order of their bytes, its length
    without padding, and the number of bytes that the data and every tensor in it begin at multiples of."""

    values: dict[str, Any]
    tensors: dict[str, GgufTensor]
    header_bytes: int
    alignment: int


def read_gguf_header(path: Path) -> GgufHeader:
    """Read the header of a GGUF file and check it against the file. What it costs depends on the file, not its claims.

    Raises: FormatInvalid: the reason (counts, lengths, types, alignment, offsets, duplicates, truncation, ...).
    """
    with path.open("rb") as file:
        return parse_gguf_header(file, path, path.stat().st_size)


def parse_gguf_header(file: Readable, path: Path, size: int | None = None) -> GgufHeader:
    """Read and check a header from the beginning of a file or stream.

    Args:
        file: Stands at the beginning; stands behind the header, before its padding, afterwards.
        path: What errors call it.
        size: Bytes of the whole file; None where they are still to come: then it ends with its last tensor.

    Raises: FormatInvalid: as ``read_gguf_header``.
    """
    reader = _Reader(file, path, size)
    if reader.take(4) != b"GGUF":
        raise reader.fault("it does not begin with 'GGUF'")
    if (version := reader.scalar("I")) not in {2, 3}:
        raise reader.fault(f"its version is {version}; 2 and 3 (little-endian) are read")
    tensor_count, pair_count = reader.scalar("Q"), reader.scalar("Q")
    if tensor_count > MAX_TENSORS or pair_count > MAX_PAIRS:
        raise reader.fault(f"it claims {tensor_count} tensors and {pair_count} pairs, too many for any model")
    values = _read_pairs(reader, pair_count)
    described = [_read_tensor(reader) for _ in range(tensor_count)]
    alignment = _alignment(reader, values)
    return GgufHeader(values, _place(reader, described, alignment), reader.position, alignment)


class _Reader:
    """A cursor that never reads past the file nor past the header limit."""

    def __init__(self, file: Readable, path: Path, size: int | None) -> None:
        self.file = file
        self.name = path.name
        self.size = size
        self.position = 0
        self.elements = 0

    def fault(self, reason: str) -> FormatInvalid:
        return FormatInvalid(f"{self.name} is not a valid GGUF file: {reason}", format="gguf", reason=reason)

    def take(self, count: int) -> bytes:
        if self.size is not None and self.position + count > self.size:
            raise self.fault(f"{count} bytes at {self.position} reach past the end of the file ({self.size} bytes)")
        if self.position + count > MAX_HEADER_BYTES:
            raise self.fault(f"its header is longer than {MAX_HEADER_BYTES} bytes")
        taken = self.file.read(count)
        if len(taken) < count:
            raise self.fault(f"{count} bytes at {self.position} reach past the end of the file")
        self.position += count
        return taken

    def scalar(self, code: str) -> Any:
        raw = self.take(struct.calcsize("<" + code))
        if code == "?" and raw not in {b"\0", b"\1"}:
            raise self.fault(f"the boolean at {self.position - 1} is neither 0 nor 1")
        return self.numbers(raw, 1, code)[0]

    def numbers(self, raw: bytes, count: int, code: str) -> list[Any]:
        found = list(struct.unpack(f"<{count}{code}", raw))
        if code in "fd" and any(map(math.isnan, found)):
            raise self.fault(f"a value before byte {self.position} is not a number (NaN)")
        return found

    def string(self) -> str:
        raw = self.take(self.scalar("Q"))
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as fault:
            raise self.fault(f"the string before byte {self.position} is not UTF-8") from fault

    def name_string(self) -> str:
        name = self.string()
        if not name or len(name.encode()) > MAX_NAME_BYTES:
            raise self.fault(f"the name before byte {self.position} is empty or longer than {MAX_NAME_BYTES} bytes")
        if leads_away(name):
            raise self.fault(f"the name {name!r} leads out of a folder")
        return name

    def array(self) -> list[Any]:
        kind, count = self.scalar("I"), self.scalar("Q")
        self.elements += count
        if self.elements > MAX_ELEMENTS:
            raise self.fault(f"an array claims {count} elements; at most {MAX_ELEMENTS} in all are read")
        if kind == _STRING:
            return [self.string() for _ in range(count)]
        if kind not in _SCALARS:
            raise self.fault(f"an array has elements of type {kind}; only numbers, booleans and strings are read")
        code = _SCALARS[kind]
        return self.numbers(self.take(count * struct.calcsize("<" + code)), count, code)


def _read_pairs(reader: _Reader, count: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for _ in range(count):
        key = reader.name_string()
        if key in values:
            raise reader.fault(f"the key {key!r} occurs twice")
        kind = reader.scalar("I")
        if kind == _STRING:
            values[key] = reader.string()
        elif kind == _ARRAY:
            values[key] = reader.array()
        elif kind in _SCALARS:
            values[key] = reader.scalar(_SCALARS[kind])
        else:
            raise reader.fault(f"the key {key!r} has the unknown type {kind}")
        if key == "general.alignment" and kind != _UINT32:
            raise reader.fault("general.alignment is not a uint32")
    return values


def _read_tensor(reader: _Reader) -> tuple[str, tuple[int, ...], int, int]:
    name = reader.name_string()
    dimensions = reader.scalar("I")
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise reader.fault(f"tensor {name!r} has {dimensions} dimensions; 1 to {MAX_DIMENSIONS} are possible")
    shape = tuple(reader.scalar("Q") for _ in range(dimensions))[::-1]
    return name, shape, reader.scalar("I"), reader.scalar("Q")


def _alignment(reader: _Reader, values: dict[str, Any]) -> int:
    alignment: int = values.get("general.alignment", DEFAULT_ALIGNMENT)
    if alignment < 8 or alignment & (alignment - 1):
        raise reader.fault(f"general.alignment is {alignment}; it must be a power of two from 8")
    return alignment


def _place(
    reader: _Reader, described: list[tuple[str, tuple[int, ...], int, int]], alignment: int
) -> dict[str, GgufTensor]:
    """Check each tensor's size and place: they follow one another, padded, without overlap or hole, to the end."""
    data_start = _padded(reader.position, alignment)
    expected = 0
    tensors: dict[str, GgufTensor] = {}
    for name, shape, kind, offset in described:
        if name in tensors:
            raise reader.fault(f"the tensor {name!r} occurs twice")
        if kind not in _BLOCKS:
            raise reader.fault(f"tensor {name!r} has the unknown type {kind}")
        per_block, block_bytes = _BLOCKS[kind]
        if math.prod(shape) >= 2**63 or 0 in shape or shape[-1] % per_block:
            raise reader.fault(f"tensor {name!r} has the impossible shape {shape} for type {kind}")
        if offset != expected:
            raise reader.fault(f"tensor {name!r} begins at {offset}, not at {expected} where the one before it ends")
        length = math.prod(shape) // per_block * block_bytes
        start = data_start + offset
        if reader.size is not None and start + length > reader.size:
            raise reader.fault(f"tensor {name!r} ends past the end of the file")
        tensors[name] = GgufTensor(name, kind, shape, start, start + length)
        expected = _padded(offset + length, alignment)
    if reader.size is not None and reader.size > data_start + expected:
        raise reader.fault(f"{reader.size - data_start - expected} bytes follow the last tensor")
    return tensors


def _padded(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment
