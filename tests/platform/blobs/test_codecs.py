"""Every segment comes back as it was, in at most its own size; damaged ones are refused."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunery.errors import IntegrityError
from tunery.platform.blobs.codecs import CODECS, MAX_SEGMENT_BYTES, QUICK, SMALL, decode, encode
from tunery.platform.blobs.deflate import deflate

RANDOM = np.random.default_rng(5)
WIDTHS = st.sampled_from([1, 2, 4, 8])


def bf16(count: int, scale: float = 0.05) -> np.ndarray:
    values = (RANDOM.standard_normal(count) * scale).astype(np.float32)
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def tuned(words: np.ndarray, step: float) -> np.ndarray:
    """What a step of that size in each weight makes of bf16 words."""
    values = (words.astype(np.uint32) << 16).view(np.float32)
    moved = (values + RANDOM.standard_normal(len(words)).astype(np.float32) * np.float32(step)).view(np.uint32)
    return ((moved + 0x8000) >> 16).astype(np.uint16)


def share(content: bytes, width: int, reference: bytes | None = None, level: int = SMALL) -> tuple[str, float]:
    kept = encode(content, width=width, reference=reference, level=level)
    assert decode(kept.codec, kept.data, len(content), reference) == content
    return kept.codec, len(kept.data) / len(content)


@given(st.binary(max_size=3000), WIDTHS, st.none() | st.randoms(use_true_random=False), st.sampled_from([QUICK, SMALL]))
def test_any_bytes_of_any_width_come_back_and_never_grow(content, width, random, level):
    reference = None if random is None else bytes(byte ^ random.choice([0, 0, 0, 1, 255]) for byte in content)
    kept = encode(content, width=width, reference=reference, level=level)
    assert len(kept.data) <= len(content)
    assert bytes(decode(kept.codec, kept.data, len(content), reference)) == content


@given(st.data(), st.sampled_from(sorted(CODECS)), st.integers(0, 200))
def test_every_codec_gives_back_any_bytes(data, name, size):
    content, reference = data.draw(st.binary(min_size=size, max_size=size)), bytes(range(256))[:size]
    packed = CODECS[name].encode(memoryview(content), memoryview(reference))
    if size or name == "raw":
        assert bytes(decode(name, packed, size, reference)) == content


@given(st.binary(max_size=200), st.sampled_from(sorted(CODECS)), st.integers(0, 300))
def test_garbage_is_refused_or_has_the_length_asked_for(data, name, size):
    with contextlib.suppress(IntegrityError):
        assert len(decode(name, data, size, bytes(size))) == size


@pytest.mark.parametrize("width", [2, 4, 8])
def test_nan_payloads_zeros_and_infinities_keep_every_bit(width):
    patterns = {2: [0x7FC1, 0xFF81, 0x8000, 0x0000, 0x7F80, 0xFFFF, 0x0001],
                4: [0x7FC00001, 0xFF800001, 1 << 31, 0, 0x7F800000, 2**32 - 1, 1],
                8: [0x7FF8000000000001, 0xFFF0000000000001, 1 << 63, 0, 0x7FF << 52, 2**64 - 1, 1]}[width]  # fmt: skip
    content = np.resize(np.array(patterns, f"<u{width}"), 5000).tobytes()
    reference = np.resize(np.array(patterns[::-1], f"<u{width}"), 5000).tobytes()
    for name in ("raw", "zstd", f"planes{width}", f"diff{width}", f"delta{width}"):
        packed = CODECS[name].encode(memoryview(content), memoryview(reference))
        assert bytes(decode(name, packed, len(content), reference)) == content


def test_a_bf16_tensor_is_kept_in_planes():
    # Three bits for the exponents and eight for sign and mantissa, of sixteen: 0.69.
    codec, kept = share(bf16(300_000).tobytes(), 2)
    assert codec == "planes2"
    assert 0.6 < kept < 0.7


def test_a_fine_tune_is_kept_as_its_difference_to_the_base():
    base = bf16(2_500_000)
    codec, kept = share(tuned(base, 2e-5).tobytes(), 2, base.tobytes())
    assert codec == "delta2"
    assert kept < 0.15
    assert kept < share(tuned(base, 2e-4).tobytes(), 2, base.tobytes())[1] < 0.35
    codec, quick = share(tuned(base, 2e-5).tobytes(), 2, base.tobytes(), QUICK)
    assert codec == "diff2"
    assert kept < quick < 0.25


def test_fp32_floats_are_kept_in_planes_and_as_differences():
    base = (RANDOM.standard_normal(300_000) * 0.05).astype("<f4")
    near = base + (RANDOM.standard_normal(300_000) * 1e-5).astype("<f4")
    assert share(base.tobytes(), 4)[0] == "planes4"
    assert share(base.tobytes(), 4)[1] < 0.9
    assert share(near.tobytes(), 4, base.tobytes())[0] == "delta4"
    assert share(near.tobytes(), 4, base.tobytes())[1] < 0.6
    assert share(near.tobytes(), 4, base.tobytes(), QUICK)[0] == "diff4"


def test_a_reference_that_is_no_near_copy_is_left_alone():
    assert share(bf16(300_000).tobytes(), 2, bf16(300_000).tobytes())[0] == "planes2"


def test_what_nothing_makes_smaller_stays_as_it_is():
    content = RANDOM.bytes(1_000_001)
    for width in (1, 2, 4, 8):
        kept = encode(content, width=width)
        assert kept.codec == "raw"
        assert kept.data == content


def test_text_is_kept_as_zstd():
    codec, kept = share(b"the same words again and again, " * 10_000, 1)
    assert codec == "zstd"
    assert kept < 0.01


def test_empty_content_is_kept_raw():
    assert encode(b"", width=2, reference=b"").codec == "raw"
    assert bytes(decode("raw", b"", 0)) == b""


@pytest.mark.parametrize("size", [MAX_SEGMENT_BYTES, MAX_SEGMENT_BYTES - 3])
def test_a_whole_segment_of_any_length_comes_back(size):
    base = np.resize(bf16(1 << 20), size // 2 + 1)
    near = tuned(base, 1e-4).tobytes()[:size]
    assert share(near, 2, base.tobytes()[:size])[0] == "delta2"
    assert share(near, 2, base.tobytes()[:size], QUICK)[0] == "diff2"
    assert share(near, 2)[0] == "planes2"


def test_a_bomb_stops_at_the_size_asked_for():
    bomb = deflate(memoryview(bytes(200 << 20)))
    assert len(bomb) < 30_000
    for name, data in {
        "zstd": bomb,
        "planes2": struct.pack("<2I", len(bomb), len(bomb)) + bomb + bomb,
        "delta1": struct.pack("<I", len(bomb)) + bomb,
    }.items():
        with pytest.raises(IntegrityError, match="does not claim"):
            decode(name, data, 1 << 20, bytes(1 << 20))


def test_a_frame_that_lies_about_its_size_is_refused():
    frame = bytearray(deflate(memoryview(bytes(1000))))
    claim = frame.index(struct.pack("<H", 1000 - 256))  # a two-byte size is written less 256 (RFC 8878, 3.1.1.1.4)
    for size in (999, 1001):
        frame[claim : claim + 2] = struct.pack("<H", size - 256)
        with pytest.raises(IntegrityError):
            decode("zstd", bytes(frame), size)
    whole = deflate(memoryview(bytes(1000)))
    for damaged in (whole[:-1], whole + b"x", whole + whole):
        with pytest.raises(IntegrityError):
            decode("zstd", damaged, 1000)


@pytest.mark.parametrize("name", ["zstd", "planes2", "diff2", "delta2"])
def test_data_cut_short_or_made_longer_is_refused(name):
    base = bf16(5000)
    content, reference = tuned(base, 1e-4).tobytes(), base.tobytes()
    data = bytes(CODECS[name].encode(memoryview(content), memoryview(reference)))
    for damaged in (data[:-1], data + b"\0", data[:3], b""):
        with pytest.raises(IntegrityError):
            decode(name, damaged, len(content), reference)


def test_a_delta_needs_its_reference():
    for reference in (None, b"", bytes(9)):
        with pytest.raises(IntegrityError, match="leans on a reference"):
            decode("delta2", bytes(20), 10, reference)


def test_unknown_codecs_wrong_lengths_and_huge_sizes_are_refused():
    with pytest.raises(IntegrityError, match="no codec"):
        decode("lzma", b"", 0)
    with pytest.raises(IntegrityError, match="decodes to 3 bytes"):
        decode("raw", b"abc", 4)
    with pytest.raises(IntegrityError, match="cannot be"):
        decode("raw", b"", MAX_SEGMENT_BYTES + 1)
    with pytest.raises(ValueError, match="16 MiB"):
        encode(bytes(MAX_SEGMENT_BYTES + 1))
    with pytest.raises(ValueError, match="reference"):
        encode(b"abc", reference=b"ab")


def test_the_formats_never_change():
    content, reference = (
        struct.pack("<4H", 0x3F80, 0xBF81, 0, 0x8000) + b"!",
        struct.pack("<4H", 0x3F81, 0xBF80, 1, 0) + b"?",
    )
    planes = struct.pack("<2I", 4, 4) + bytes.fromhex("00030001 7f7f0000") + b"!"
    # Rotated left: 7f00, 7f03, 0000, 0001.
    assert CODECS["planes2"].encode(memoryview(content), None) == planes
    # Differences -1, 1, -1, -32768 in zigzag: 1, 2, 1, 65535.
    differences = struct.pack("<2I", 4, 4) + bytes.fromhex("010201ff 000000ff") + b"!"
    assert CODECS["diff2"].encode(memoryview(content), memoryview(reference)) == differences
    # Exponents 127, 127, 0, 0 put the last two first.
    deltas = struct.pack("<2I", 4, 4) + bytes.fromhex("01ff0102 00ff0000") + b"!"
    assert CODECS["delta2"].encode(memoryview(content), memoryview(reference)) == deltas
