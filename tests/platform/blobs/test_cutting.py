"""The same content is always cut the same way, whatever pieces it comes in, and nothing of it is lost."""

from __future__ import annotations

import json
import random
import struct
import time
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from tunery.errors import FormatInvalid
from tunery.platform.blobs.cutting import JOINED_BYTES, PIECE_BYTES, Cut, cut

SAFETENSORS = "application/x-safetensors"
Tensors = dict[str, tuple[str, list[int]]]
BYTES = {"BF16": 2, "F32": 4, "U8": 1}


def head(tensors: Tensors) -> tuple[bytes, int]:
    entries, end = {}, 0
    for name, (dtype, shape) in tensors.items():
        begin, end = end, end + int(np.prod(shape)) * BYTES[dtype]
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text, end


def file_of(tensors: Tensors, seed: int = 1) -> bytes:
    first, size = head(tensors)
    return first + np.random.default_rng(seed).bytes(size)


def split(content: bytes, chance: random.Random, most: int) -> Iterator[bytes]:
    start = 0
    while start < len(content):
        length = chance.randint(0, most)
        yield content[start : start + length]
        start += length


def cuts(content: bytes, media_type: str = "application/octet-stream") -> list[Cut]:
    found = list(cut([content], media_type))
    assert b"".join(piece for _, piece in found) == content
    assert all(one.size == len(piece) > 0 for one, piece in found)
    return [one for one, _ in found]


MODEL: Tensors = {"big": ("BF16", [3, 100_000]), "norm": ("BF16", [64]), "gain": ("F32", [64]), "table": ("U8", [9])}
RANDOM = np.random.default_rng(2).bytes(3_000_000)


@pytest.mark.parametrize("content", [RANDOM, file_of(MODEL), file_of(MODEL)[:-9] + b"12345", b"", b"x"])
@pytest.mark.parametrize("most", [7_000, 1_000_000])
def test_however_the_stream_comes_the_cuts_are_the_same(content: bytes, most: int) -> None:
    whole = list(cut([content]))
    for seed in range(3):
        assert list(cut(split(content, random.Random(seed), most))) == whole
    assert b"".join(piece for _, piece in whole) == content


@given(st.binary(max_size=500), st.lists(st.integers(0, 60), max_size=40))
def test_any_bytes_in_any_pieces_come_through(content: bytes, lengths: list[int]) -> None:
    pieces, start = [], 0
    for length in lengths:
        pieces.append(content[start : start + length])
        start += length
    pieces.append(content[start:])
    assert list(cut(pieces)) == list(cut([content]))
    assert b"".join(piece for _, piece in cut(pieces)) == content


def test_a_file_of_tensors_is_cut_after_its_header_and_at_each_tensor_of_another_width() -> None:
    first, _ = head(MODEL)
    # 3 * 100,000 * 2 bytes; then 64 words of 2 bytes, of 4 bytes, and 9 single bytes.
    assert [(one.size, one.width) for one in cuts(file_of(MODEL), SAFETENSORS)] == [
        (len(first), 1), (600_000, 2), (128, 2), (256, 4), (9, 1),
    ]  # fmt: skip


def test_a_declared_and_an_undeclared_file_are_cut_alike() -> None:
    assert cuts(file_of(MODEL)) == cuts(file_of(MODEL), SAFETENSORS)


def test_a_long_tensor_is_cut_every_16_mib_from_its_own_beginning() -> None:
    found = cuts(file_of({"small": ("U8", [70_000]), "long": ("BF16", [PIECE_BYTES + 50])}))[1:]
    # 2 * (16 MiB + 50) bytes are two whole pieces and 100 bytes.
    assert [one.size for one in found] == [70_000, PIECE_BYTES, PIECE_BYTES, 100]
    assert len({one.key for one in found}) == 4


def test_the_pieces_of_a_near_copy_have_the_same_keys_in_any_order() -> None:
    near = dict(reversed(MODEL.items()))
    keys = {one.key for one in cuts(file_of(MODEL))}
    assert {one.key for one in cuts(file_of(MODEL, seed=9))} == keys
    assert {one.key for one in cuts(file_of(near, seed=9))} == keys
    assert all(key is None or len(key) == 16 for key in keys)


def test_another_name_shape_or_dtype_is_another_key() -> None:
    others: list[Tensors] = [
        {"a": ("BF16", [8, 4])},
        {"b": ("BF16", [8, 4])},
        {"a": ("BF16", [4, 8])},
        {"a": ("F32", [8, 4])},
    ]
    assert len({cuts(file_of(tensors))[1].key for tensors in others}) == 4


def test_a_hundred_thousand_tiny_tensors_become_few_segments_quickly() -> None:
    tensors: Tensors = {f"t{number}": ("BF16", [8]) for number in range(100_000)}
    began = time.thread_time()
    found = cuts(file_of(tensors), SAFETENSORS)
    assert time.thread_time() - began < 20
    # 1.6 MB in runs of at most 64 KiB, behind a header of some 6 MB that is one segment.
    assert len(found) == 1 + -(-1_600_000 // JOINED_BYTES)
    assert all(one.size <= JOINED_BYTES for one in found[1:])


def test_tensors_without_elements_give_no_segments() -> None:
    assert len(cuts(file_of({f"t{number}": ("U8", [0]) for number in range(50_000)}), SAFETENSORS)) == 1


def test_joining_stops_at_large_tensors_so_that_a_new_one_moves_little() -> None:
    layers: Tensors = {}
    for number in range(5):
        layers |= {f"{number}.a": ("BF16", [10]), f"{number}.b": ("BF16", [10]), f"{number}.c": ("BF16", [50_000])}
    more: Tensors = {"0.0": ("BF16", [10])} | layers
    one, other = ({cut.key for cut in cuts(file_of(tensors))} for tensors in (layers, more))
    assert len(one) == 1 + 5 * 2
    assert len(one - other) == 1


EMPTY = b'{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
LIES = {
    "nothing": b"",
    "seven bytes": b"1234567",
    "text": b"this is no file of tensors at all",
    "endless header": struct.pack("<Q", 2**63) + b"{",
    "header past the end": struct.pack("<Q", 1000) + b"{}",
    "not JSON": struct.pack("<Q", 5) + b"{nope",
    "cut inside": b'{"__metadata__":{"a":"b',
    "overlap": json.dumps({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
                           "b": {"dtype": "U8", "shape": [4], "data_offsets": [2, 6]}}).encode(),
    "hole": json.dumps({"a": {"dtype": "U8", "shape": [4], "data_offsets": [4, 8]}}).encode(),
    "reversed": json.dumps({"a": {"dtype": "U8", "shape": [4], "data_offsets": [4, 0]}}).encode(),
    "wrong shape": json.dumps({"a": {"dtype": "U8", "shape": [2**62, 4], "data_offsets": [0, 4]}}).encode(),
    "numbers as metadata": b'{"__metadata__":{"a":NaN}}',
    "one name twice": b'{"a":%s,"a":%s}' % (EMPTY, EMPTY),
    "too many tensors": b"{%s}" % b",".join(b'"%d":%s' % (number, EMPTY) for number in range(100_001)),
}  # fmt: skip


def lying(name: str) -> bytes:
    content = LIES[name]
    return struct.pack("<Q", len(content)) + content + bytes(8) if content.startswith(b"{") else content


@pytest.mark.parametrize("name", LIES)
def test_a_declared_file_whose_header_lies_is_refused_before_any_segment(name: str) -> None:
    tracemalloc.start()
    with pytest.raises(FormatInvalid) as refused:
        next(cut([lying(name)], SAFETENSORS))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.status == 422
    assert peak < 20 * len(lying(name)) + 5_000_000


@pytest.mark.parametrize("name", LIES)
def test_what_only_looks_like_a_model_is_cut_by_its_content(name: str) -> None:
    assert all(one.key is None for one in cuts(lying(name)))


def test_a_tensor_may_claim_any_size_without_costing_memory() -> None:
    entry = {"a": {"dtype": "U8", "shape": [2**50], "data_offsets": [0, 2**50]}}
    content = json.dumps(entry).encode()
    whole = struct.pack("<Q", len(content)) + content + b"little"
    with pytest.raises(FormatInvalid, match=f"ends {2**50 - 6} bytes before"):
        list(cut([whole], SAFETENSORS))
    assert [one.size for one in cuts(whole)] == [8 + len(content), 6]


def test_a_declared_file_cut_short_or_made_longer_anywhere_is_refused() -> None:
    whole = file_of({"a": ("BF16", [5]), "b": ("F32", [3])})
    for length in range(len(whole)):
        with pytest.raises(FormatInvalid):
            list(cut([whole[:length]], SAFETENSORS))
        assert b"".join(piece for _, piece in cut([whole[:length]])) == whole[:length]
    with pytest.raises(FormatInvalid, match="bytes follow the last tensor"):
        list(cut([whole, b"x"], SAFETENSORS))
    assert cuts(whole + b"x")[:-1] == cuts(whole)


def test_names_are_never_taken_for_paths() -> None:
    assert len(cuts(file_of({"/a..b\x00": ("U8", [4]), "...": ("F32", [4])}), SAFETENSORS)) == 3
    with pytest.raises(FormatInvalid, match="leads out"):
        cuts(file_of({"../../etc/passwd": ("U8", [4])}), SAFETENSORS)


def test_chunks_lie_between_64_kib_and_1_mib_and_find_themselves_again_behind_an_insertion() -> None:
    before, after = cuts(RANDOM), cuts(b"a few new bytes" + RANDOM)
    assert all(64 << 10 <= one.size <= 1 << 20 for one in before[:-1])
    assert [one.size for one in after[1:]] == [one.size for one in before[1:]]


def test_the_cut_points_never_change() -> None:
    content = b"".join(blake3(str(number).encode()).digest(length=50_000) for number in range(40))
    assert [one.size for one in cuts(content)] == [487519, 76961, 127767, 178905, 295823, 270814, 288107, 274104]
    # BLAKE3 of "a|BF16|(8, 4)#0" and "b|F32|(2,)#0", eight bytes of it.
    assert [one.key for one in cuts(file_of({"a": ("BF16", [8, 4]), "b": ("F32", [2])}))] == [
        None,
        "8df70b27c9e39481",
        "c1b8ecfd86d58ead",
    ]


def test_memory_stays_flat_while_a_long_file_passes() -> None:
    first, size = head({"a": ("U8", [200 << 20]), "b": ("U8", [100 << 20])})
    piece = bytes(1 << 20)
    tracemalloc.start()
    count = sum(one.size for one, _ in cut((part for part in (first, *[piece] * (size >> 20))), SAFETENSORS))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == len(first) + size
    assert peak < 60_000_000
