"""Read and strictly check safetensors headers; write safetensors canonically.

Layout: 8 bytes little-endian header length, a JSON object ``{name: {dtype, shape, data_offsets}}``, the tensor bytes.
Source: https://github.com/huggingface/safetensors, section "Format".
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tunery.errors import FormatInvalid
from tunery.weights.files import Readable, leads_away, read_json_object, write_whole

__all__ = [
    "Header",
    "TensorInfo",
    "WeightsSummary",
    "model_tensors",
    "parse_header",
    "read_header",
    "stream_safetensors",
    "summarize_weights",
    "write_safetensors",
]

DTYPE_BITS: dict[str, int] = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
"""Bits of one element by dtype name. Source: safetensors 0.8, ``Dtype``."""

MAX_HEADER_BYTES = 32 * 1024 * 1024
"""The format allows 100,000,000; 100,000 tensors with long names fit into this, and parsing it stays cheap."""

MAX_TENSORS = 100_000
MAX_DIMENSIONS = 8
_MAX_COMMAS = MAX_TENSORS * (MAX_DIMENSIONS + 4)
_MAX_COLONS = MAX_TENSORS * 6
"""Four for each tensor; the others are left to the metadata."""


@dataclass(frozen=True)
class TensorInfo:
    """Where one tensor lies: ``start`` and ``end`` are offsets from the beginning of the file, in bytes."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def parameter_count(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """The checked header of a safetensors file; ``tensors`` in the order of their bytes."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]
    header_bytes: int
    size_bytes: int


@dataclass(frozen=True)
class WeightsSummary:
    """How many parameters there are, and how many of each dtype."""

    parameter_count: int
    dtypes: dict[str, int]


def read_header(path: Path) -> Header:
    """Read the header of a safetensors file and check it against the file; no tensor byte is read.

    Raises: FormatInvalid: the reason (length, overlap, hole, trailing bytes, shape, dtype, encoding, duplicates, ...).
    """
    with path.open("rb") as file:
        return parse_header(file, path, path.stat().st_size)


def parse_header(file: Readable, path: Path, size: int | None = None) -> Header:
    """Read and check a header from the beginning of a file or stream.

    Args:
        file: Stands at the beginning; stands behind the header afterwards.
        path: What errors and tensors call it.
        size: Bytes of the whole file; None where they are still to come: then it ends with its last tensor.

    Raises: FormatInvalid: as ``read_header``.
    """
    first = file.read(8)
    if len(first) < 8:
        raise _invalid(path, f"it has {len(first)} bytes; the header length alone takes 8")
    length = int.from_bytes(first, "little")
    if length > MAX_HEADER_BYTES:
        raise _invalid(path, f"its header claims {length} bytes; at most {MAX_HEADER_BYTES} are read")
    if size is not None and 8 + length > size:
        raise _invalid(path, f"its header claims {length} bytes, past the end of the file ({size} bytes)")
    raw = file.read(length)
    if len(raw) < length:
        raise _invalid(path, f"its header claims {length} bytes, past the end of the file ({8 + len(raw)} bytes)")
    entries = _parse(path, raw)
    metadata = _check_metadata(path, entries.pop("__metadata__", {}))
    if len(entries) > MAX_TENSORS:
        raise _invalid(path, f"it holds {len(entries)} tensors; at most {MAX_TENSORS} are read")
    infos = sorted(
        (_check_tensor(path, name, entry, 8 + length, size) for name, entry in entries.items()),
        key=lambda info: (info.start, info.end),
    )
    end = _check_cover(path, infos, 8 + length, size)
    return Header({info.name: info for info in infos}, metadata, header_bytes=8 + length, size_bytes=end)


def model_tensors(model_dir: Path) -> dict[str, TensorInfo]:
    """Return every tensor of a model folder by name, from ``model.safetensors`` or the shards that its index names.

    Raises: FormatInvalid: no weights, a damaged file, or one name in two shards.
    """
    index = model_dir / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.exists():
        names = sorted(set((read_json_object(index).get("weight_map") or {}).values()))
    found: dict[str, TensorInfo] = {}
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not (model_dir / name).is_file():
            raise FormatInvalid(f"the weights file {str(name)[:100]!r} is missing in {model_dir.name!r}")
        tensors = read_header(model_dir / name).tensors
        if twice := found.keys() & tensors.keys():
            raise FormatInvalid(f"the tensor {min(twice)!r} stands in two files of {model_dir.name!r}")
        found |= tensors
    return found


def summarize_weights(paths: Iterable[Path]) -> WeightsSummary:
    """Count the parameters of all files, and the parameters of each dtype, from the headers alone."""
    counts: Counter[str] = Counter()
    for path in paths:
        for info in read_header(path).tensors.values():
            counts[info.dtype] += info.parameter_count
    return WeightsSummary(parameter_count=counts.total(), dtypes=dict(sorted(counts.items())))


def write_safetensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write numpy arrays or torch tensors canonically and durably: equal names, dtypes and values give equal bytes.

    The tensors stand in order of falling item size (readers need aligned offsets), then of name.
    ``metadata`` defaults to ``{"format": "pt"}``, which transformers and peft ask for.
    """
    from tunery.weights.arrays import array_bytes, array_dtype

    specs = {name: (array_dtype(tensor), tuple(tensor.shape)) for name, tensor in tensors.items()}
    stream_safetensors(path, specs, lambda name: array_bytes(tensors[name]), metadata)


def stream_safetensors(
    path: Path,
    specs: Mapping[str, tuple[str, tuple[int, ...]]],
    produce: Callable[[str], bytes | memoryview],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a canonical safetensors file of which only one tensor is in memory at a time.

    Args:
        path: Written whole or not at all.
        specs: Safetensors dtype name and shape of each tensor.
        produce: Returns the little-endian, contiguous bytes of the named tensor; called once for each.
        metadata: As in ``write_safetensors``.
    """
    names = sorted(specs, key=lambda name: (-DTYPE_BITS[specs[name][0]], name))
    sizes = {name: math.prod(shape) * DTYPE_BITS[dtype] // 8 for name, (dtype, shape) in specs.items()}
    entries: dict[str, Any] = {"__metadata__": dict(sorted((metadata or {"format": "pt"}).items()))}
    offset = 0
    for name in names:
        dtype, shape = specs[name]
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + sizes[name]]}
        offset += sizes[name]
    header = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    with write_whole(path) as partial, partial.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for name in names:
            data = produce(name)
            if memoryview(data).nbytes != sizes[name]:
                raise ValueError(f"{name}: {memoryview(data).nbytes} bytes produced, {sizes[name]} announced")
            file.write(data)


def _invalid(path: Path, reason: str) -> FormatInvalid:
    return FormatInvalid(f"{path.name} is not a valid safetensors file: {reason}", format="safetensors", reason=reason)


def _parse(path: Path, raw: bytes) -> dict[str, Any]:
    # Counting first keeps a header of 32 MB of tiny numbers or brackets from becoming gigabytes of Python objects.
    many = raw.count(b",") > _MAX_COMMAS or raw.count(b":") > _MAX_COLONS
    if many or raw.count(b"{") > MAX_TENSORS + 2 or raw.count(b"[") > 2 * MAX_TENSORS + 2:
        raise _invalid(path, f"its header describes more than {MAX_TENSORS} tensors")
    if not raw.startswith(b"{"):
        raise _invalid(path, "its header does not begin with '{'")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            name = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
            raise _invalid(path, f"the name {name[:100]!r} occurs twice in its header")
        return found

    try:
        entries = json.loads(raw.decode("utf-8"), object_pairs_hook=unique)
    except UnicodeDecodeError as fault:
        raise _invalid(path, "its header is not UTF-8") from fault
    except (ValueError, RecursionError) as fault:
        raise _invalid(path, f"its header is not JSON ({str(fault)[:100]})") from fault
    return dict(entries)


def _check_metadata(path: Path, metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _invalid(path, "__metadata__ must map strings to strings")
    return metadata


def _check_tensor(path: Path, name: str, entry: Any, data_start: int, size: int | None) -> TensorInfo:
    shown = repr(name[:100])
    if leads_away(name):
        raise _invalid(path, f"the name of tensor {shown} leads out of a folder")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _invalid(path, f"tensor {shown} must have exactly dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise _invalid(path, f"tensor {shown} has the unknown dtype {str(dtype)[:40]!r}")
    if not _are_lengths(shape) or len(shape) > MAX_DIMENSIONS:
        raise _invalid(path, f"the shape of tensor {shown} is not a list of at most {MAX_DIMENSIONS} whole numbers")
    if not _are_lengths(offsets) or len(offsets) != 2:
        raise _invalid(path, f"the data_offsets of tensor {shown} are not two whole numbers")
    begin, end = offsets
    if begin > end:
        raise _invalid(path, f"the offsets of tensor {shown} are reversed ({begin} > {end})")
    if size is not None and data_start + end > size:
        raise _invalid(path, f"tensor {shown} ends past the end of the file")
    info = TensorInfo(path, name, dtype, tuple(shape), data_start + begin, data_start + end)
    bits = info.parameter_count * DTYPE_BITS[dtype]
    if bits % 8 or bits // 8 != end - begin:
        raise _invalid(path, f"the shape of tensor {shown} does not fit its {end - begin} bytes of {dtype}")
    return info


def _are_lengths(value: Any) -> bool:
    # bool is an int to isinstance, and a number of more than 19 digits would make the product slow to compute.
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**63 for item in value)


def _check_cover(path: Path, infos: list[TensorInfo], data_start: int, size: int | None) -> int:
    if infos and infos[0].start != data_start:
        raise _invalid(path, f"there is a hole before tensor {infos[0].name[:100]!r}")
    for before, after in pairwise(infos):
        if before.end != after.start:
            what = "overlap" if after.start < before.end else "have a hole between them"
            raise _invalid(path, f"tensors {before.name[:100]!r} and {after.name[:100]!r} {what}")
    end = infos[-1].end if infos else data_start
    if size is not None and end != size:
        raise _invalid(path, f"{size - end} bytes follow the last tensor")
    return end
