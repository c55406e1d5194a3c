"""Write GGUF: a model folder of transformers, and a LoRA adapter folder of peft."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tunery.errors import FormatInvalid
from tunery.kit.extras import require
from tunery.weights.adapters import LoraPair, read_adapter
from tunery.weights.files import read_json_object, write_whole
from tunery.weights.safetensors import DTYPE_BITS, TensorInfo, model_tensors

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFWriter
    from numpy.typing import NDArray

    from tunery.weights.shapes import Shape

__all__ = ["adapter_to_gguf", "transformers_to_gguf"]

_COMPUTED = ".rotary_emb.inv_freq"
"""Old model folders keep the rotary frequencies, which every reader computes itself."""

_FILE_TYPES = {"f32": 0, "f16": 1, "bf16": 32}
"""``general.file_type``. Source: ``LlamaFileType`` of the gguf package."""

Tensors = dict[str, tuple[tuple[int, ...], "Callable[[], NDArray[np.float32]]"]]
"""GGUF tensor name to its shape (as numpy has it) and a function that reads it."""


def transformers_to_gguf(model_dir: Path, out_path: Path, dtype: str = "f16") -> None:
    """Write a model folder as one GGUF file that llama.cpp opens; the same folder gives the same bytes.

    One tensor is in memory at a time. Norms and biases stay in float32, as llama.cpp wants them.

    Args:
        model_dir: config.json, safetensors files, tokenizer.json and what belongs to them.
        out_path: Written whole or not at all.
        dtype: ``f16``, ``bf16`` or ``f32``: how the matrices are stored.

    Raises: FormatInvalid: the family or tokenizer has no faithful GGUF form, or a value does not fit the dtype.
    """
    from tunery.weights.vocabulary import write_vocabulary

    shape, base = _open_model(model_dir)
    tensors: Tensors = {}
    for name, info in base.items():
        tensors |= _model_tensor(name, info, shape)
    tensors |= _rope_tensor(shape)

    def describe(writer: GGUFWriter) -> None:
        writer.add_type("model")
        _write_shape(writer, shape)
        write_vocabulary(writer, model_dir, shape.vocab_size)

    _write(out_path, shape.family.architecture, dtype, tensors, describe)


def adapter_to_gguf(adapter_dir: Path, model_dir: Path, out_path: Path, dtype: str = "f16") -> None:
    """Write a LoRA adapter folder as a GGUF file that llama.cpp applies to the GGUF file of ``model_dir``.

    Args:
        adapter_dir: adapter_config.json and adapter_model.safetensors, as peft saves them.
        model_dir: The base model folder: its configuration says how rows are permuted, its shapes are checked.
        out_path: Written whole or not at all.
        dtype: ``f16``, ``bf16`` or ``f32``.

    Raises: FormatInvalid: not a plain LoRA adapter, or one of another base.
    """
    shape, base = _open_model(model_dir)
    adapter = read_adapter(adapter_dir)
    adapter.check_fits(base)
    tensors: Tensors = {}
    for pair in adapter.pairs.values():
        tensors |= _adapter_tensors(pair, adapter.alpha, shape)

    def describe(writer: GGUFWriter) -> None:
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", adapter.alpha)

    _write(out_path, shape.family.architecture, dtype, tensors, describe)


def _open_model(model_dir: Path) -> tuple[Shape, dict[str, TensorInfo]]:
    require("gguf", "serve")
    from tunery.weights.shapes import Shape

    config = read_json_object(model_dir / "config.json")
    shape = Shape.from_config(config)
    tensors = {name: info for name, info in model_tensors(model_dir).items() if not name.endswith(_COMPUTED)}
    if shape.tied:
        tensors.pop("lm_head.weight", None)
    shape.check_tensors({name: info.shape for name, info in tensors.items()})
    return shape, tensors


def _model_tensor(name: str, info: TensorInfo, shape: Shape) -> Tensors:
    from tunery.weights.arrays import read_float32
    from tunery.weights.families import gguf_tensor_name, permute_rows

    heads = shape.heads_of(name)

    def read() -> NDArray[np.float32]:
        array = read_float32(info)
        return array if heads is None else permute_rows(array, heads)

    return {gguf_tensor_name(name): (info.shape, read)}


def _adapter_tensors(pair: LoraPair, alpha: float, shape: Shape) -> Tensors:
    from tunery.weights.arrays import read_float32
    from tunery.weights.families import gguf_tensor_name, permute_rows

    name = gguf_tensor_name(f"{pair.module}.weight")
    heads = shape.heads_of(pair.module)
    # llama.cpp scales by alpha / rank for every pair; what a pair's own scale differs by (rsLoRA) goes into B.
    factor = pair.scale / (alpha / pair.rank)

    def read_b() -> NDArray[np.float32]:
        array = read_float32(pair.b) * factor
        return array if heads is None else permute_rows(array, heads)

    return {f"{name}.lora_a": (pair.a.shape, lambda: read_float32(pair.a)), f"{name}.lora_b": (pair.b.shape, read_b)}


def _rope_tensor(shape: Shape) -> Tensors:
    from tunery.weights.shapes import rope_factors

    if shape.rope_scaling.get("rope_type") != "llama3":
        return {}
    return {"rope_freqs.weight": ((shape.head_dim // 2,), lambda: rope_factors(shape))}


def _write_shape(writer: GGUFWriter, shape: Shape) -> None:
    writer.add_context_length(shape.context_length)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.intermediate_size)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_layer_norm_rms_eps(shape.rms_norm_eps)
    writer.add_vocab_size(shape.vocab_size)
    if shape.rope_scaling.get("rope_type") == "linear":
        from gguf import RopeScalingType

        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(shape.rope_scaling["factor"])


def _write(path: Path, architecture: str, dtype: str, tensors: Tensors, describe: Callable[[GGUFWriter], None]) -> None:
    import gguf
    import numpy as np

    from tunery.weights.arrays import float_bytes

    if dtype not in _FILE_TYPES:
        raise FormatInvalid(f"GGUF files are written as {', '.join(_FILE_TYPES)}, not {dtype!r}")
    stored = {name: "F32" if len(shape) == 1 else dtype.upper() for name, (shape, _) in tensors.items()}
    with write_whole(path) as partial:
        writer = gguf.GGUFWriter(partial, architecture)
        try:
            describe(writer)
            writer.add_file_type(_FILE_TYPES[dtype])
            for name in sorted(tensors):
                shape = tensors[name][0]
                kind = gguf.GGMLQuantizationType[stored[name]]
                size = math.prod(shape) * DTYPE_BITS[stored[name]] // 8
                writer.add_tensor_info(name, shape, np.dtype(np.float32), size, raw_dtype=kind)
            writer.write_header_to_file(partial)
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for name in sorted(tensors):
                data = float_bytes(tensors[name][1](), stored[name], name)
                writer.write_tensor_data(np.frombuffer(data, np.uint8))
        finally:
            writer.close()
