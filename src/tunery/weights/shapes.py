"""The numbers that decide what a model of a family looks like, and the check that its tensors fit them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunery.errors import FormatInvalid
from tunery.weights.families import Family, family_of

__all__ = ["Shape", "rope_factors"]

MAX_LAYERS = 1024
_ROPE_NUMBERS = {
    "linear": ("factor",),
    "llama3": ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor", "factor"),
}


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
    tied: bool
    biased: frozenset[str]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Shape:
        """Read a transformers config.json. Raises: FormatInvalid: another family, or an option that GGUF cannot say."""
        family = family_of(config)
        if config.get("hidden_act", "silu") != "silu":
            raise FormatInvalid(f"config.json: hidden_act must be 'silu', not {str(config['hidden_act'])[:40]!r}")
        if config.get("use_sliding_window"):
            raise FormatInvalid("config.json: use_sliding_window cannot be converted to GGUF")
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        if not isinstance(rope, dict):
            raise FormatInvalid("config.json: rope_parameters must be an object")
        theta = _number(rope, "rope_theta", _number(config, "rope_theta", 10_000.0))
        heads, hidden = _whole(config, "num_attention_heads"), _whole(config, "hidden_size")
        context = _whole(config, "max_position_embeddings")
        if family.model_type == "mistral":
            # llama.cpp attends to everything for this architecture: within the window both agree.
            context = min(context, _whole(config, "sliding_window", context))
        head_dim = _whole(config, "head_dim", 128 if family.model_type == "qwen3" else max(1, hidden // heads))
        if head_dim % 2:
            raise FormatInvalid(f"config.json: heads of {head_dim} values have no rotary pairs; head_dim must be even")
        return cls(
            family=family,
            layers=_whole(config, "num_hidden_layers", most=MAX_LAYERS),
            hidden_size=hidden,
            intermediate_size=_whole(config, "intermediate_size"),
            heads=heads,
            kv_heads=_whole(config, "num_key_value_heads", heads),
            head_dim=head_dim,
            vocab_size=_whole(config, "vocab_size"),
            context_length=context,
            rms_norm_eps=_number(config, "rms_norm_eps", 1e-6),
            rope_theta=theta,
            tied=config.get("tie_word_embeddings") is True,
            biased=_biased(family, config),
            rope_scaling=_rope_scaling(rope),
        )

    def heads_of(self, name: str) -> int | None:
        """Return the number of heads whose rows GGUF permutes in this tensor or module; None where it permutes none."""
        if not self.family.permuted:
            return None
        if ".self_attn.q_proj" in name:
            return self.heads
        return self.kv_heads if ".self_attn.k_proj" in name else None

    def check_tensors(self, found: Mapping[str, tuple[int, ...]]) -> None:
        """Check that the tensors of a model (transformers names) are all there, with the right shapes, and no others.

        transformers fills a missing tensor with random numbers, so nothing incomplete may pass.

        Raises: FormatInvalid: the first tensor at fault.
        """
        required = self._tensors()
        if missing := required.keys() - found.keys():
            raise FormatInvalid(
                f"the weights lack {min(missing)!r} ({len(missing)} of {len(required)} tensors are missing)"
            )
        for name, shape in found.items():
            if name not in required:
                raise FormatInvalid(f"by its config.json the model has no tensor {name[:200]!r}")
            if shape != required[name]:
                raise FormatInvalid(f"by its config.json the tensor {name!r} is {required[name]}, not {shape}")

    def _tensors(self) -> dict[str, tuple[int, ...]]:
        hidden, inner = self.hidden_size, self.intermediate_size
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        block: dict[str, tuple[int, ...]] = {
            "self_attn.q_proj.weight": (queries, hidden),
            "self_attn.k_proj.weight": (keys, hidden),
            "self_attn.v_proj.weight": (keys, hidden),
            "self_attn.o_proj.weight": (hidden, queries),
            "mlp.gate_proj.weight": (inner, hidden),
            "mlp.up_proj.weight": (inner, hidden),
            "mlp.down_proj.weight": (hidden, inner),
            "input_layernorm.weight": (hidden,),
            "post_attention_layernorm.weight": (hidden,),
        }
        block |= {f"{module}.bias": block[f"{module}.weight"][:1] for module in self.biased}
        if self.family.model_type == "qwen3":
            block |= {"self_attn.q_norm.weight": (self.head_dim,), "self_attn.k_norm.weight": (self.head_dim,)}
        outer = {"model.embed_tokens.weight": (self.vocab_size, hidden), "model.norm.weight": (hidden,)}
        if not self.tied:
            outer["lm_head.weight"] = (self.vocab_size, hidden)
        return outer | {
            f"model.layers.{layer}.{name}": shape for layer in range(self.layers) for name, shape in block.items()
        }


def rope_factors(shape: Shape) -> NDArray[np.float32]:
    """Return the divisors of the rotary frequencies of Llama 3.1: float32 ``[head_dim / 2]``.

    Long wavelengths are slowed by ``factor``, short ones stay, and between them the change is smooth.
    Source: transformers ``modeling_rope_utils``, rope_type ``llama3``.
    """
    old_context, low, high, factor = (shape.rope_scaling[key] for key in _ROPE_NUMBERS["llama3"])
    frequencies = shape.rope_theta ** -(np.arange(0, shape.head_dim, 2) / shape.head_dim)
    turns = old_context * frequencies / (2 * np.pi)
    smooth = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return np.asarray(1.0 / ((1 - smooth) / factor + smooth), dtype=np.float32)


def _biased(family: Family, config: dict[str, Any]) -> frozenset[str]:
    attention = [f"self_attn.{name}_proj" for name in "qkvo"]
    if family.model_type == "qwen2":
        return frozenset(attention[:3])
    if family.model_type == "mistral":
        return frozenset()
    inner = [f"mlp.{name}_proj" for name in ("gate", "up", "down")]
    has_inner = family.model_type == "llama" and config.get("mlp_bias")
    return frozenset((attention if config.get("attention_bias") else []) + (inner if has_inner else []))


def _rope_scaling(rope: dict[str, Any]) -> dict[str, Any]:
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return {}
    if kind not in _ROPE_NUMBERS:
        raise FormatInvalid(f"config.json: rope_type must be default, linear or llama3, not {str(kind)[:40]!r}")
    return {"rope_type": kind} | {key: _number(rope, key) for key in _ROPE_NUMBERS[kind]}


def _whole(config: dict[str, Any], key: str, default: int | None = None, most: int = 2**31 - 1) -> int:
    value = config.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
        raise FormatInvalid(f"config.json: {key} must be a whole number from 1 to {most}, not {str(value)[:40]!r}")
    return value


def _number(config: dict[str, Any], key: str, default: float | None = None) -> float:
    value = config.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e15:
        raise FormatInvalid(f"config.json: {key} must be a number above 0, not {str(value)[:40]!r}")
    return float(value)
