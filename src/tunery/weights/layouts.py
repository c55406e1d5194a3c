"""Where the tensors of safetensors and GGUF files lie, so that the store cuts at them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from tunery.kit.media_types import GGUF as GGUF_MEDIA_TYPE
from tunery.kit.media_types import SAFETENSORS as SAFETENSORS_MEDIA_TYPE
from tunery.platform.blobs.cutting import LAYOUTS, Laid, Layout, Part
from tunery.weights.files import Readable
from tunery.weights.gguf_header import GgufHeader, parse_gguf_header
from tunery.weights.safetensors import DTYPE_BITS, MAX_HEADER_BYTES, parse_header

__all__ = ["GGUF_MEDIA_TYPE", "SAFETENSORS_MEDIA_TYPE"]

_UPLOAD = Path("this")
"""What the errors call a stream that has no name."""

_SAFETENSORS_WIDTHS = {name: DTYPE_BITS[name] // 8 for name in ("F16", "BF16", "F32", "F64")} | {"C64": 4}
_GGUF_WIDTHS = {0: 4, 1: 2, 28: 8, 30: 2}
"""F32, F16, F64 and BF16 by ``ggml_type``; the blocks of other types mix scales and small integers."""


def _begins_safetensors(first: bytes) -> bool:
    return first[8:9] == b"{" and int.from_bytes(first[:8], "little") <= MAX_HEADER_BYTES


def _read_safetensors(file: Readable) -> Laid:
    header = parse_header(file, _UPLOAD)
    parts = [
        Part(f"{info.name}|{info.dtype}|{info.shape}", info.end - info.start, _SAFETENSORS_WIDTHS.get(info.dtype, 1))
        for info in header.tensors.values()
    ]
    return Laid(header.header_bytes, parts)


def _begins_gguf(first: bytes) -> bool:
    return first.startswith(b"GGUF")


def _read_gguf(file: Readable) -> Laid:
    header = parse_gguf_header(file, _UPLOAD)
    tensors = list(header.tensors.values())
    if not tensors:
        return Laid(header.header_bytes, [], _padding(header, header.header_bytes))
    # A tensor's part reaches to the next one's beginning, so that the padding between them goes with it.
    ends = [after.start for _, after in pairwise(tensors)] + [tensors[-1].end]
    parts = [
        Part(f"{tensor.name}|{tensor.kind}|{tensor.shape}", end - tensor.start, _GGUF_WIDTHS.get(tensor.kind, 1))
        for tensor, end in zip(tensors, ends, strict=True)
    ]
    return Laid(tensors[0].start, parts, _padding(header, tensors[-1].end))


def _padding(header: GgufHeader, end: int) -> int:
    return -end % header.alignment


LAYOUTS.register("safetensors")(Layout(SAFETENSORS_MEDIA_TYPE, _begins_safetensors, _read_safetensors))
LAYOUTS.register("gguf")(Layout(GGUF_MEDIA_TYPE, _begins_gguf, _read_gguf))
