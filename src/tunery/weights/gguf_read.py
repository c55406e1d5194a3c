"""Turn a GGUF file into a model folder of transformers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery.errors import FormatInvalid
from tunery.kit.extras import require
from tunery.weights.files import write_json
from tunery.weights.gguf_header import GgufHeader, GgufTensor, read_gguf_header
from tunery.weights.safetensors import stream_safetensors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ConversionReport", "gguf_to_transformers"]

_DTYPES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
_CLASSES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion made. ``name`` and ``license`` are what the GGUF file says of itself."""

    model_family: str
    parameter_count: int
    dtype: str
    files: tuple[str, ...]
    name: str | None
    license: str | None


def gguf_to_transformers(gguf_path: Path, out_dir: Path, dtype: str = "bfloat16") -> ConversionReport:
    """Write a model folder that transformers, peft and vLLM open; the same file gives the same bytes, anywhere.

    Quantized tensors are restored to the values that llama.cpp computes with; one is in memory at a time.

    Args:
        gguf_path: A GGUF file of a supported family with a byte-level BPE vocabulary.
        out_dir: Receives config.json, generation_config.json, model.safetensors, tokenizer files, chat_template.jinja.
        dtype: ``bfloat16``, ``float16`` or ``float32``.

    Raises: FormatInvalid: a damaged file, or a family or tokenizer that is not supported.
    """
    require("gguf", "serve")
    from tunery.weights.vocabulary import read_tokenizer, write_tokenizer

    if dtype not in _DTYPES:
        raise FormatInvalid(f"model folders are written as {', '.join(_DTYPES)}, not {dtype!r}")
    header = read_gguf_header(gguf_path)
    config = _config(header, dtype)
    tokenizer = read_tokenizer(header.values, config["vocab_size"])
    _write_weights(gguf_path, header, config, out_dir / "model.safetensors", _DTYPES[dtype])
    write_json(out_dir / "config.json", config)
    write_json(out_dir / "generation_config.json", {key: config[key] for key in config if key.endswith("_token_id")})
    files = write_tokenizer(tokenizer, header.values, out_dir, config["max_position_embeddings"])
    return ConversionReport(
        model_family=config["model_type"],
        parameter_count=sum(math.prod(tensor.shape) for tensor in header.tensors.values()),
        dtype=dtype,
        files=tuple(sorted({"config.json", "generation_config.json", "model.safetensors", *files})),
        name=_text(header, "general.name"),
        license=_text(header, "general.license"),
    )


def _config(header: GgufHeader, dtype: str) -> dict[str, Any]:
    """Build config.json: the values of the file, and the constants that its family always has."""
    architecture = _text(header, "general.architecture")
    if architecture not in _CLASSES:
        raise FormatInvalid(
            f"GGUF files of architecture {architecture!r} cannot be read; supported: {', '.join(_CLASSES)}"
        )
    if f"{architecture}.rope.scaling.type" in header.values or "rope_freqs.weight" in header.tensors:
        raise FormatInvalid("GGUF files with rope scaling cannot be read; start from the model's safetensors instead")
    if "token_embd.weight" not in header.tensors:
        raise FormatInvalid("the GGUF file holds no token embeddings: it is no language model of its own")
    heads, hidden = _whole(header, "attention.head_count"), _whole(header, "embedding_length")
    theta = _number(header, "rope.freq_base", 10_000.0)
    config = {
        "architectures": [_CLASSES[architecture]],
        "attention_dropout": 0.0,
        "dtype": dtype,
        "head_dim": _whole(header, "attention.key_length", max(1, hidden // heads)),
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": _whole(header, "feed_forward_length"),
        "max_position_embeddings": _whole(header, "context_length"),
        "model_type": architecture,
        "num_attention_heads": heads,
        "num_hidden_layers": _whole(header, "block_count"),
        "num_key_value_heads": _whole(header, "attention.head_count_kv", heads),
        "rms_norm_eps": _number(header, "attention.layer_norm_rms_epsilon", 1e-6),
        "rope_parameters": {"rope_theta": theta, "rope_type": "default"},
        # Readers older than transformers 5 look here.
        "rope_theta": theta,
        "tie_word_embeddings": "output.weight" not in header.tensors,
        "use_cache": True,
        "vocab_size": header.tensors["token_embd.weight"].shape[0],
    }
    if architecture != "qwen2":
        config["attention_bias"] = "blk.0.attn_q.bias" in header.tensors
    if architecture == "llama":
        config["mlp_bias"] = "blk.0.ffn_gate.bias" in header.tensors
    for key, name in {"bos": "bos", "eos": "eos", "pad": "padding"}.items():
        if f"tokenizer.ggml.{name}_token_id" in header.values:
            config[f"{key}_token_id"] = header.values[f"tokenizer.ggml.{name}_token_id"]
    return config


def _write_weights(gguf_path: Path, header: GgufHeader, config: dict[str, Any], out_path: Path, dtype: str) -> None:
    from tunery.weights.arrays import float_bytes
    from tunery.weights.families import restore_rows, transformers_tensor_name
    from tunery.weights.shapes import Shape

    shape = Shape.from_config(config)
    tensors = {transformers_tensor_name(name): tensor for name, tensor in header.tensors.items()}
    shape.check_tensors({name: tensor.shape for name, tensor in tensors.items()})

    def produce(name: str) -> memoryview:
        array = _dequantize(gguf_path, tensors[name])
        heads = shape.heads_of(name)
        return float_bytes(array if heads is None else restore_rows(array, heads), dtype, name)

    stream_safetensors(out_path, {name: (dtype, tensor.shape) for name, tensor in tensors.items()}, produce)


def _dequantize(path: Path, tensor: GgufTensor) -> NDArray[np.float32]:
    import numpy as np
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    raw = np.fromfile(path, np.uint8, tensor.end - tensor.start, offset=tensor.start)
    try:
        values = dequantize(raw.reshape(*tensor.shape[:-1], -1), GGMLQuantizationType(tensor.kind))
    except NotImplementedError as unknown:
        raise FormatInvalid(
            f"tensor {tensor.name!r} has a quantization that cannot be read back: {unknown}"
        ) from unknown
    return np.asarray(values, dtype=np.float32).reshape(tensor.shape)


def _text(header: GgufHeader, key: str) -> str | None:
    value = header.values.get(key)
    return value if isinstance(value, str) else None


def _whole(header: GgufHeader, key: str, default: int | None = None) -> int:
    value = header.values.get(f"{header.values['general.architecture']}.{key}", default)
    if not isinstance(value, int) or not 0 < value < 2**31:
        raise FormatInvalid(f"the GGUF key {key} must be a whole number above 0, not {str(value)[:40]!r}")
    return value


def _number(header: GgufHeader, key: str, default: float) -> float:
    value = header.values.get(f"{header.values['general.architecture']}.{key}", default)
    if not isinstance(value, float) or not 0 < value < 1e12:
        raise FormatInvalid(f"the GGUF key {key} must be a number above 0, not {str(value)[:40]!r}")
    # The shortest text of the float32: 1e-05, not 9.999999747378752e-06.
    return float(f"{value:.7g}")
