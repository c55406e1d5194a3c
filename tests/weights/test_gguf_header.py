from __future__ import annotations

import math
import random
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter

from tunery.errors import FormatInvalid
from tunery.weights.gguf_header import MAX_ELEMENTS, read_gguf_header


def _string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def _number(key: bytes, value: int) -> bytes:
    return _string(key) + struct.pack("<II", 4, value)


def _tensor(name: bytes, shape: tuple[int, ...], offset: int = 0, kind: int = 0) -> bytes:
    return _string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def _file(
    path: Path, pairs: list[bytes], tensors: list[bytes], data: int = 0, counts: tuple[int, int] | None = None
) -> Path:
    tensor_count, pair_count = counts or (len(tensors), len(pairs))
    head = b"GGUF" + struct.pack("<IQQ", 3, tensor_count, pair_count) + b"".join(pairs + tensors)
    path.write_bytes(head + bytes(-len(head) % 32) + bytes(data))
    return path


_NESTED = _string(b"deep") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 64 + struct.pack("<IQB", 0, 1, 1)
_LONG_STRING = _string(b"key") + struct.pack("<IQ", 8, 2**60)
_LONG_ARRAY = _string(b"key") + struct.pack("<IIQ", 9, 4, 2**61)
_MANY_STRINGS = _string(b"key") + struct.pack("<IIQ", 9, 8, 2**40)
_BOOL = _string(b"key") + struct.pack("<IB", 7, 2)

LIES: dict[str, tuple[list[bytes], list[bytes], int, tuple[int, int] | None, str]] = {
    "2^63 tensors": ([], [], 0, (2**63, 0), "too many"),
    "2^32 pairs": ([], [], 0, (0, 2**32), "too many"),
    "a pair too many": ([_number(b"key", 1)], [], 0, (0, 2), "past the end|empty"),
    "string of 2^60": ([_LONG_STRING], [], 0, None, "past the end"),
    "array of 2^61": ([_LONG_ARRAY], [], 0, None, "claims"),
    "array of 2^40 strings": ([_MANY_STRINGS], [], 0, None, "claims"),
    "a value that is no number": ([_string(b"key") + struct.pack("<If", 6, math.nan)], [], 0, None, "NaN"),
    "numbers that are none": ([_string(b"key") + struct.pack("<IIQ2d", 9, 12, 2, 1.0, math.nan)], [], 0, None, "NaN"),
    "a name that is a path": ([], [_tensor(b"a/../../b", (1,))], 32, None, "leads out"),
    "nested arrays": ([_NESTED], [], 0, None, "elements of type 9"),
    "unknown type": ([_string(b"key") + struct.pack("<I", 13)], [], 0, None, "unknown type 13"),
    "boolean 2": ([_BOOL], [], 0, None, "neither 0 nor 1"),
    "duplicate key": ([_number(b"key", 1), _number(b"key", 1)], [], 0, None, "twice"),
    "key not UTF-8": ([_number(b"\xff", 1)], [], 0, None, "UTF-8"),
    "empty key": ([_number(b"", 1)], [], 0, None, "empty"),
    "alignment 0": ([_number(b"general.alignment", 0)], [], 0, None, "power of two"),
    "alignment 3": ([_number(b"general.alignment", 3)], [], 0, None, "power of two"),
    "alignment of another type": (
        [_string(b"general.alignment") + struct.pack("<IH", 2, 32)], [], 0, None, "not a uint32"
    ),
    "product wraps": ([], [_tensor(b"a", (2**32, 2**32))], 32, None, "impossible shape"),
    "product wraps to 4": ([], [_tensor(b"a", (2**62 + 1, 4))], 32, None, "impossible shape"),
    "no elements": ([], [_tensor(b"a", (0,))], 0, None, "impossible shape"),
    "half a block": ([], [_tensor(b"a", (16,), kind=2)], 32, None, "impossible shape"),
    "five dimensions": ([], [_tensor(b"a", (1,) * 5)], 32, None, "5 dimensions"),
    "unknown tensor type": ([], [_tensor(b"a", (1,), kind=999)], 32, None, "unknown type 999"),
    "offset past the end": ([], [_tensor(b"a", (1,), offset=2**40)], 32, None, "begins at"),
    "past the end": ([], [_tensor(b"a", (64,))], 32, None, "past the end"),
    "overlap": ([], [_tensor(b"a", (1,)), _tensor(b"b", (1,))], 64, None, "begins at"),
    "hole": ([], [_tensor(b"a", (1,)), _tensor(b"b", (1,), 64)], 96, None, "begins at"),
    "same name": ([], [_tensor(b"a", (1,)), _tensor(b"a", (1,), 32)], 64, None, "twice"),
    "trailing bytes": ([], [_tensor(b"a", (1,))], 33, None, "follow"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused_with_the_reason_and_little_memory(tmp_path: Path, lie: str) -> None:
    pairs, tensors, data, counts, reason = LIES[lie]
    path = _file(tmp_path / "model.gguf", pairs, tensors, data, counts)
    tracemalloc.start()
    with pytest.raises(FormatInvalid, match=reason) as refused:
        read_gguf_header(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
    assert refused.value.details["format"] == "gguf"


def test_many_arrays_cost_no_more_than_the_largest_vocabulary(tmp_path: Path) -> None:
    arrays = [_string(b"key%d" % n) + struct.pack("<IIQ", 9, 0, 900_000) + bytes(900_000) for n in range(50)]
    path = _file(tmp_path / "model.gguf", arrays, [], 0, (0, 50))
    tracemalloc.start()
    with pytest.raises(FormatInvalid, match="in all"):
        read_gguf_header(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * MAX_ELEMENTS


@pytest.mark.parametrize("version", [0, 1, 4, 3 << 24])
def test_other_versions_and_byte_orders_are_refused(tmp_path: Path, version: int) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", version, 0, 0))
    with pytest.raises(FormatInvalid, match="version"):
        read_gguf_header(path)


@pytest.fixture
def small_gguf(tmp_path: Path) -> Path:
    writer = GGUFWriter(tmp_path / "small.gguf", "llama")
    writer.add_array("words", ["one", "two"])
    writer.add_array("numbers", [1.5, 2.5])
    writer.add_bool("flag", True)
    writer.add_tensor("a", np.ones((2, 3), np.float32))
    writer.add_tensor("b", np.ones((4, 34), np.uint8), raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "small.gguf"


def test_what_the_gguf_package_writes_is_read_back(small_gguf: Path) -> None:
    header = read_gguf_header(small_gguf)
    assert header.values == {
        "general.architecture": "llama", "words": ["one", "two"], "numbers": [1.5, 2.5], "flag": True,
    }  # fmt: skip
    # A row of Q8_0 of 34 bytes holds one block of 32 values.
    assert {name: tensor.shape for name, tensor in header.tensors.items()} == {"a": (2, 3), "b": (4, 32)}
    assert header.tensors["b"].end - header.tensors["b"].start == 4 * 34


def test_every_truncation_is_refused(small_gguf: Path) -> None:
    whole = small_gguf.read_bytes()
    # The last tensor takes 136 bytes; padding to 160 follows, which a reader does not need.
    assert len(whole) % 32 == 0
    for length in range(len(whole) - 24):
        small_gguf.write_bytes(whole[:length])
        with pytest.raises(FormatInvalid):
            read_gguf_header(small_gguf)


def test_whatever_bytes_are_changed_nothing_but_a_refusal_comes(small_gguf: Path) -> None:
    whole, chance, refused = small_gguf.read_bytes(), random.Random(0), 0
    for _ in range(3000):
        changed = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            changed[chance.randrange(len(whole))] = chance.choice([0, 0xFF, 0x80, chance.randrange(256)])
        small_gguf.write_bytes(changed)
        try:
            read_gguf_header(small_gguf)
        except FormatInvalid:
            refused += 1
    assert refused > 1000
