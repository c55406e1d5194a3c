"""The model families that convert between transformers and GGUF: names of tensors, order of rows, configuration.

Source: the llama.cpp graph builders of these architectures, and GGUF's "Standardized tensor names" and key-value pairs
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunery.errors import FormatInvalid

__all__ = [
    "FAMILIES",
    "Family",
    "Shape",
    "gguf_tensor_name",
    "permute_rows",
    "restore_rows",
    "rope_factors",
    "transformers_tensor_name",
]


@dataclass(frozen=True)
class Family:
    """One family of models.

    Attributes:
        model_type: ``model_type`` of config.json.
        architecture: ``general.architecture`` of GGUF.
        permuted: Whether GGUF stores query and key rows in the interleaved order of rotary pairs.
    """

    model_type: str
    architecture: str
    permuted: bool


FAMILIES: tuple[Family, ...] = (
    Family("llama", "llama", permuted=True),
    Family("mistral", "llama", permuted=True),
    Family("qwen2", "qwen2", permuted=False),
    Family("qwen3", "qwen3", permuted=False),
)

_BLOCK_NAMES: dict[str, str] = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_OUTER_NAMES: dict[str, str] = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}
_BLOCK_MODULES = {name: module for module, name in _BLOCK_NAMES.items()}
_OUTER_MODULES = {name: module for module, name in _OUTER_NAMES.items()}
_BLOCK = re.compile(r"model\.layers\.(\d{1,4})\.(.+)")
_GGUF_BLOCK = re.compile(r"blk\.(\d{1,4})\.(.+)")


@dataclass(frozen=True)
class Shape:
    """The numbers of config.json that a conversion needs, with the defaults of transformers filled in."""

    family: Family
    layers: int
    hidden_size: int
    intermediate_size: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab_size: int
    context_length: int
    rms_norm_eps: float
    rope_theta: float
    rope_scaling: dict[str, Any]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Shape:
        """Read a transformers config.json. Raises: FormatInvalid: another family, or an option that GGUF cannot say."""
        family = _family_of(config)
        if config.get("hidden_act", "silu") != "silu":
            raise FormatInvalid(
                f"config.json: hidden_act {config['hidden_act']!r} cannot be converted; only 'silu' can"
            )
        if config.get("use_sliding_window"):
            raise FormatInvalid("config.json: use_sliding_window cannot be converted to GGUF")
        rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
        theta = rope.pop("rope_theta", None) or config.get("rope_theta") or 10_000.0
        heads, hidden = _whole(config, "num_attention_heads"), _whole(config, "hidden_size")
        context = _whole(config, "max_position_embeddings")
        return cls(
            family=family,
            layers=_whole(config, "num_hidden_layers"),
            hidden_size=hidden,
            intermediate_size=_whole(config, "intermediate_size"),
            heads=heads,
            kv_heads=_whole(config, "num_key_value_heads", heads),
            head_dim=_whole(config, "head_dim", 128 if family.model_type == "qwen3" else hidden // heads),
            vocab_size=_whole(config, "vocab_size"),
            # llama.cpp attends to everything for these architectures: within the window both agree.
            context_length=min(context, _whole(config, "sliding_window", context))
            if family.model_type == "mistral"
            else context,
            rms_norm_eps=float(config.get("rms_norm_eps", 1e-6)),
            rope_theta=float(theta),
            rope_scaling=rope if rope.get("rope_type", rope.get("type", "default")) != "default" else {},
        )

    def heads_of(self, name: str) -> int | None:
        """Return the number of heads whose rows GGUF permutes in this tensor or module; None where it permutes none."""
        if not self.family.permuted:
            return None
        if ".self_attn.q_proj" in name:
            return self.heads
        return self.kv_heads if ".self_attn.k_proj" in name else None


def _family_of(config: dict[str, Any]) -> Family:
    """Return the family that config.json names. Raises: FormatInvalid: with the supported ones."""
    for family in FAMILIES:
        if family.model_type == config.get("model_type"):
            return family
    known = ", ".join(family.model_type for family in FAMILIES)
    raise FormatInvalid(f"models of type {config.get('model_type')!r} cannot be converted to GGUF; supported: {known}")


def gguf_tensor_name(name: str) -> str:
    """Translate a transformers tensor name. Raises: FormatInvalid: the family has no such tensor."""
    module, _, kind = name.rpartition(".")
    block = _BLOCK.fullmatch(module)
    if kind in {"weight", "bias"}:
        if block and block[2] in _BLOCK_NAMES:
            return f"blk.{int(block[1])}.{_BLOCK_NAMES[block[2]]}.{kind}"
        if module in _OUTER_NAMES:
            return f"{_OUTER_NAMES[module]}.{kind}"
    raise FormatInvalid(f"the tensor {name[:200]!r} has no place in GGUF for this family")


def transformers_tensor_name(name: str) -> str:
    """Translate a GGUF tensor name. Raises: FormatInvalid: the family has no such tensor."""
    module, _, kind = name.rpartition(".")
    block = _GGUF_BLOCK.fullmatch(module)
    if kind in {"weight", "bias"}:
        if block and block[2] in _BLOCK_MODULES:
            return f"model.layers.{int(block[1])}.{_BLOCK_MODULES[block[2]]}.{kind}"
        if module in _OUTER_MODULES:
            return f"{_OUTER_MODULES[module]}.{kind}"
    raise FormatInvalid(f"the GGUF tensor {name[:200]!r} has no place in a transformers model of this family")


def permute_rows(array: NDArray[Any], heads: int) -> NDArray[Any]:
    """Reorder query or key rows from transformers' halves to llama.cpp's interleaved rotary pairs.

    Within each head, row ``i`` of the first half and row ``i`` of the second half become neighbours.

    Args:
        array: ``[heads * head_dim, ...]``: a weight, a bias or a LoRA B matrix.
    """
    split = array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2)).reshape(array.shape)


def restore_rows(array: NDArray[Any], heads: int) -> NDArray[Any]:
    """Undo ``permute_rows``."""
    split = array.reshape(heads, array.shape[0] // heads // 2, 2, *array.shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2)).reshape(array.shape)


def rope_factors(shape: Shape) -> NDArray[np.float32]:
    """Return the divisors of the rotary frequencies of Llama 3.1: float32 ``[head_dim / 2]``.

    Long wavelengths are slowed by ``factor``, short ones stay, and between them the change is smooth.
    Source: transformers ``modeling_rope_utils``, rope_type ``llama3``.
    """
    scaling = shape.rope_scaling
    needed = ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor", "factor")
    if not all(isinstance(scaling.get(key), (int, float)) and scaling[key] > 0 for key in needed):
        raise FormatInvalid(f"config.json: rope_type 'llama3' needs the numbers {', '.join(needed)}")
    old_context, low, high, factor = (float(scaling[key]) for key in needed)
    frequencies = shape.rope_theta ** -(np.arange(0, shape.head_dim, 2) / shape.head_dim)
    turns = old_context * frequencies / (2 * np.pi)
    smooth = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return np.asarray(1.0 / ((1 - smooth) / factor + smooth), dtype=np.float32)


def _whole(config: dict[str, Any], key: str, default: int | None = None) -> int:
    value = config.get(key)
    value = default if value is None else value
    if type(value) is not int or not 0 < value < 2**31:
        raise FormatInvalid(f"config.json: {key} must be a whole number above 0, not {str(value)[:40]!r}")
    return value
