"""Every file restores to the same SHA-256, whatever lies in it and by whichever codecs it is kept."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Quantized
from gguf import GGUFWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults import ROUNDS
from tests.platform.blobs.conftest import Shelf
from tunery.kit.digests import sha256_bytes, sha256_file
from tunery.kit.media_types import BYTES, GGUF, SAFETENSORS
from tunery.platform.blobs.codecs import CODECS, QUICK, SMALL
from tunery.weights.safetensors import DTYPE_BITS

EXAMPLES = 100 * ROUNDS or 20
FLOATS = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "C64": 4}
ODD = {
    2: [0x7FC1, 0xFF81, 0x7C01, 0x8000, 0, 0x7F80, 0xFC00, 0xFFFF, 1, 0x8001, 0x007F, 0x03FF],
    4: [0x7FC00001, 0xFF800001, 1 << 31, 0, 0x7F800000, 2**32 - 1, 1, 0x007FFFFF, 0x80000001],
    8: [0x7FF8000000000001, 0xFFF0000000000001, 1 << 63, 0, 0x7FF << 52, 2**64 - 1, 1, 0x000FFFFFFFFFFFFF],
}
"""NaNs with payloads, quiet and signalling, both zeros, infinities, denormals, all bits set: by width, as words."""

pytestmark = pytest.mark.parametrize("ground", ["sqlite"], indirect=True)


@dataclass(frozen=True)
class Tensor:
    """A tensor to be filled: ``kind`` says with what, ``near`` what its near copy has in its place."""

    dtype: str
    shape: list[int]
    kind: str
    near: str
    seed: int

    def both(self) -> tuple[bytes, bytes]:
        """Return its bytes, and those of its near copy."""
        size = prod(self.shape) * DTYPE_BITS[self.dtype] // 8
        width = FLOATS.get(self.dtype, 1)
        random = np.random.default_rng(self.seed)
        own = _filled(self.kind, width, size, random)
        if self.near in ("same", "moved"):
            words = own.copy()
            if self.near == "moved" and len(words):
                words[:: random.integers(1, 50)] += random.integers(-2, 3, dtype=np.int64).astype(words.dtype)
            return own.tobytes(), words.tobytes()
        return own.tobytes(), _filled(self.near, width, size, random).tobytes()


def _filled(kind: str, width: int, size: int, random: np.random.Generator) -> np.ndarray:
    """Words of that width that fill so many bytes."""
    count = size // width
    if kind == "odd" and width > 1:
        return random.choice(np.array(ODD[width], f"<u{width}"), count)
    if kind == "floats" and width > 1:
        values = random.standard_normal(count)
        if width == 2:  # the upper half of a float32 is a bfloat16
            return (values.astype("<f4").view("<u4") >> 16).astype("<u2")
        return values.astype(f"<f{width}").view(f"<u{width}")
    if kind == "text":
        return np.resize(np.frombuffer(b"the same words again and again, ", f"<u{width}"), count)
    return np.frombuffer(random.bytes(size), f"<u{width}")


def safetensors_of(tensors: list[tuple[str, list[int], bytes]]) -> bytes:
    """A safetensors file of tensors given by dtype, shape and bytes."""
    header, start = {}, 0
    for number, (dtype, shape, data) in enumerate(tensors):
        header[f"t.{number}"] = {"dtype": dtype, "shape": shape, "data_offsets": [start, start + len(data)]}
        start += len(data)
    said = json.dumps(header).encode()
    return struct.pack("<Q", len(said)) + said + b"".join(data for _, _, data in tensors)


def restored(shelf: Shelf, file: bytes, media_type: str, like: str | None = None) -> str:
    """Keep a file, compare what comes back whole, as a copy on disk and in part; return its digest."""
    digest = shelf.store.put(shelf.tenant_id, file, media_type, like).digest
    assert digest == sha256_bytes(file) == sha256_bytes(shelf.read(digest))
    copy = shelf.ground.settings.home / "copy"
    shelf.store.checkout(shelf.tenant_id, digest, copy)
    assert sha256_file(copy) == digest
    third = len(file) // 3
    assert b"".join(shelf.store.open(shelf.tenant_id, digest, third, third + 1)) == file[third : 2 * third + 1]
    return digest


KINDS = st.sampled_from(["odd", "floats", "text", "bytes"])
SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 5, 8, 17]), max_size=3) | st.sampled_from([[70_001], [257, 300], [8, 0]])


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    dtype, shape = draw(st.sampled_from(sorted(DTYPE_BITS))), draw(SHAPES)
    if prod(shape) * DTYPE_BITS[dtype] % 8:
        shape = [*shape, 4]  # of four and six bits only whole bytes can be written
    return Tensor(dtype, shape, draw(KINDS), draw(KINDS | st.sampled_from(["same", "moved"])), draw(st.integers(0, 99)))


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(model=st.lists(tensors(), max_size=4))
def test_tensors_of_every_dtype_and_shape_restore_and_their_near_copies_too(shelf: Shelf, model: list[Tensor]) -> None:
    pairs = [(tensor, *tensor.both()) for tensor in model]
    base = safetensors_of([(tensor.dtype, tensor.shape, own) for tensor, own, _ in pairs])
    near = safetensors_of([(tensor.dtype, tensor.shape, other) for tensor, _, other in pairs])
    digest = restored(shelf, base, SAFETENSORS)
    restored(shelf, near, SAFETENSORS, like=digest)


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(size=st.integers(0, 700_000), kind=KINDS, seed=st.integers(0, 99), cut=st.integers(0, 1000))
def test_bytes_of_any_length_restore_and_so_do_parts_of_them(
    shelf: Shelf, size: int, kind: str, seed: int, cut: int
) -> None:
    data = _filled(kind, 1, size, np.random.default_rng(seed)).tobytes()
    digest = restored(shelf, data, BYTES)
    restored(shelf, data[cut:] + data[:cut], BYTES, like=digest)


ODD_END = {1: b"\x80\x00\xff"} | {width: np.array(words, f"<u{width}").tobytes() for width, words in ODD.items()}
DTYPE_OF = {1: "I8", 2: "BF16", 4: "F32", 8: "F64"}


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_every_codec_is_chosen_for_a_file_that_it_suits_and_restores_it(shelf: Shelf, codec: str) -> None:
    width = CODECS[codec].width or 1
    kind = {"raw": "bytes", "zstd": "text"}.get(codec, "floats" if width > 1 else "bytes")
    tensor = Tensor(DTYPE_OF[width], [50_001], kind, "moved", 7)
    own, near = tensor.both()
    own, near = own + ODD_END[width], near + ODD_END[width]
    shape = [len(own) // width]
    base = restored(shelf, safetensors_of([(tensor.dtype, shape, own)]), SAFETENSORS)
    shelf.store.level = SMALL if CODECS[codec].ordered else QUICK
    if CODECS[codec].against:
        restored(shelf, safetensors_of([(tensor.dtype, shape, near)]), SAFETENSORS, like=base)
    assert codec in {row.codec for row in shelf.segments()}


def test_a_gguf_of_floats_and_blocks_restores_and_its_near_copy_too(shelf: Shelf, tmp_path: Path) -> None:
    def file(moved: int) -> bytes:
        random = np.random.default_rng(1)
        words = {width: _filled("floats", width, 100 * 512 * width, random).copy() for width in (2, 4)}
        for each in words.values():
            each[::100] += np.array(moved, each.dtype)
        writer = GGUFWriter(tmp_path / "model.gguf", "llama")
        writer.add_tensor("f32", words[4].view("<f4").reshape(100, 512))
        writer.add_tensor("f16", words[2].view("<f2").reshape(100, 512))
        writer.add_tensor("bf16", words[2][::-1].copy().view("u1").reshape(100, 1024), raw_dtype=Quantized.BF16)
        writer.add_tensor(
            "blocks", np.frombuffer(random.bytes(34 * 999), "u1").reshape(999, 34), raw_dtype=Quantized.Q8_0
        )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return (tmp_path / "model.gguf").read_bytes()

    base = restored(shelf, file(0), GGUF)
    restored(shelf, file(1), GGUF, like=base)
    shelf.store.level = SMALL
    restored(shelf, file(2), GGUF, like=base)
    codecs = {row.codec for row in shelf.segments()}
    assert {"raw", "planes2", "planes4", "diff2", "diff4", "delta2", "delta4"} <= codecs
