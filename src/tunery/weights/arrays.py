"""Tensors as numpy arrays and as bytes, with bfloat16, which numpy does not know."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunery.errors import FormatInvalid
from tunery.weights.safetensors import TensorInfo

__all__ = ["array_bytes", "array_dtype", "float_bytes", "read_float32"]

_NAMES: dict[str, str] = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32", "int32": "I32",
    "uint64": "U64", "int64": "I64", "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64",
    "complex64": "C64", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
_FLOATS: dict[str, str] = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}


def array_dtype(tensor: Any) -> str:
    """Return the safetensors dtype name of a numpy array or torch tensor."""
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in _NAMES:
        raise FormatInvalid(f"a tensor of dtype {name} cannot be written to safetensors")
    return _NAMES[name]


def array_bytes(tensor: Any) -> memoryview:
    """Return the contiguous bytes of a numpy array or torch tensor."""
    if not isinstance(tensor, np.ndarray):
        import torch

        tensor = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    flat: NDArray[Any] = np.ascontiguousarray(tensor).reshape(-1)
    return flat.view(np.uint8).data


def read_float32(info: TensorInfo) -> NDArray[np.float32]:
    """Read one floating-point tensor of a safetensors file as float32, in its shape.

    Raises: FormatInvalid: the tensor is of another kind (integers, 8-bit floats).
    """
    with info.path.open("rb") as file:
        file.seek(info.start)
        if info.dtype == "BF16":
            halves = np.fromfile(file, "<u2", info.parameter_count)
            return (halves.astype(np.uint32) << 16).view(np.float32).reshape(info.shape)
        if info.dtype not in _FLOATS:
            raise FormatInvalid(
                f"tensor {info.name!r} of {info.path.name} is {info.dtype}; F32, F16, BF16 or F64 is needed"
            )
        return np.fromfile(file, _FLOATS[info.dtype], info.parameter_count).astype(np.float32).reshape(info.shape)


def float_bytes(array: NDArray[np.float32], dtype: str, name: str) -> memoryview:
    """Encode finite float32 values as F32, F16, BF16 or F64, rounded to the nearest (ties to even).

    Raises: FormatInvalid: a value is not finite, or does not fit (F16 ends at 65504); ``name`` says where.
    """
    if not np.isfinite(array).all():
        raise FormatInvalid(f"{name} holds NaN or infinite values; the training that made it has diverged")
    if dtype == "BF16":
        bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
        encoded: NDArray[Any] = ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
        fits = bool(((encoded & 0x7F80) != 0x7F80).all())
    else:
        with np.errstate(over="ignore"):
            encoded = array.astype(_FLOATS[dtype])
        fits = bool(np.isfinite(encoded).all())
    if not fits:
        raise FormatInvalid(f"{name} holds values too large for {dtype}; use {'F32' if dtype == 'BF16' else 'BF16'}")
    return array_bytes(encoded)
