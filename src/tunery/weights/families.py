"""The model families that convert between transformers and GGUF: names of tensors and order of rows.

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
    "family_of",
    "gguf_tensor_name",
    "permute_rows",
    "restore_rows",
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
_BLOCK = re.compile(r"model\.layers\.(0|[1-9]\d{0,3})\.(.+)")
_GGUF_BLOCK = re.compile(r"blk\.(0|[1-9]\d{0,3})\.(.+)")


def family_of(config: dict[str, Any]) -> Family:
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
            return f"blk.{block[1]}.{_BLOCK_NAMES[block[2]]}.{kind}"
        if module in _OUTER_NAMES:
            return f"{_OUTER_NAMES[module]}.{kind}"
    raise FormatInvalid(f"the tensor {name[:200]!r} has no place in GGUF for this family")


def transformers_tensor_name(name: str) -> str:
    """Translate a GGUF tensor name. Raises: FormatInvalid: the family has no such tensor."""
    module, _, kind = name.rpartition(".")
    block = _GGUF_BLOCK.fullmatch(module)
    if kind in {"weight", "bias"}:
        if block and block[2] in _BLOCK_MODULES:
            return f"model.layers.{block[1]}.{_BLOCK_MODULES[block[2]]}.{kind}"
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
