"""Real files of both formats are cut at their tensors, as their own readers see them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter

from tunery.errors import FormatInvalid
from tunery.platform.blobs.cutting import LAYOUTS, Cut, cut
from tunery.weights.gguf_header import _BLOCKS, read_gguf_header
from tunery.weights.layouts import GGUF_MEDIA_TYPE, SAFETENSORS_MEDIA_TYPE
from tunery.weights.safetensors import read_header, write_safetensors


def cuts(content: bytes, media_type: str) -> list[Cut]:
    found = list(cut([content], media_type))
    assert b"".join(piece for _, piece in found) == content
    return [one for one, _ in found]


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    writer = GGUFWriter(tmp_path / "small.gguf", "llama")
    writer.add_array("words", ["one", "two"])
    writer.add_tensor("a", np.ones((2, 3), np.float32))
    writer.add_tensor("b", np.ones((4, 34), np.uint8), raw_dtype=GGMLQuantizationType.Q8_0)
    writer.add_tensor("c", np.ones((70_000,), np.float16))
    writer.add_tensor("d", np.ones((5,), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "small.gguf"


def test_both_layouts_are_found_by_the_store() -> None:
    assert LAYOUTS.names() == ["gguf", "safetensors"]


def test_a_gguf_file_is_cut_at_its_tensors_with_the_padding_behind_them(gguf: Path) -> None:
    header = read_gguf_header(gguf)
    # 24 bytes of floats, padded to 32; 4 rows of 34 bytes, to 160; 140,000 = 4375 * 32; 10 bytes, then 22 of padding.
    assert [(one.size, one.width) for one in cuts(gguf.read_bytes(), GGUF_MEDIA_TYPE)] == [
        (header.tensors["a"].start, 1), (32, 4), (160, 1), (140_000, 2), (10, 2), (22, 1),
    ]  # fmt: skip


def test_the_last_padding_of_a_gguf_file_may_be_missing_and_nothing_else(gguf: Path) -> None:
    whole = gguf.read_bytes()
    for length in range(len(whole) - 22, len(whole) + 1):
        assert cuts(whole[:length], GGUF_MEDIA_TYPE)
    for damaged in [whole + b"\0"] + [whole[:length] for length in (*range(400), len(whole) - 23)]:
        with pytest.raises(FormatInvalid):
            list(cut([damaged], GGUF_MEDIA_TYPE))


def test_a_gguf_file_without_tensors_is_all_header(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "vocabulary.gguf", "llama")
    writer.add_array("words", ["one"] * 7)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    whole = (tmp_path / "vocabulary.gguf").read_bytes()
    assert [one.key for one in cuts(whole, GGUF_MEDIA_TYPE)] == [None]


def test_a_gguf_header_longer_than_a_piece_comes_in_pieces(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "long.gguf", "llama")
    writer.add_array("numbers", list(range(900_000)))
    writer.add_array("words", ["a word of some length"] * 500_000)
    writer.add_tensor("a", np.ones(8, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = cuts((tmp_path / "long.gguf").read_bytes(), GGUF_MEDIA_TYPE)
    assert found[0].size == 16 << 20
    assert [one.width for one in found] == [1, 1, 4]


def test_a_safetensors_file_is_cut_where_its_header_says(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"half": np.ones((200, 300), np.float16), "full": np.ones((100, 300), np.float32)})
    header = read_header(path)
    found = cuts(path.read_bytes(), SAFETENSORS_MEDIA_TYPE)
    assert [(one.size, one.width) for one in found] == [(header.header_bytes, 1), (120_000, 4), (120_000, 2)]


def test_the_block_sizes_are_those_of_the_gguf_package() -> None:
    assert {int(kind): sizes for kind, sizes in GGML_QUANT_SIZES.items()} == _BLOCKS
