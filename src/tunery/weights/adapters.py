"""Read a LoRA adapter folder of peft: what it declares, and its pairs of matrices."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunery.errors import FormatInvalid
from tunery.weights.files import read_json_object
from tunery.weights.safetensors import TensorInfo, read_header

__all__ = ["Adapter", "LoraPair", "read_adapter"]

MAX_RANK = 4096
_PREFIX = "base_model.model."
_SUFFIXES = {".lora_A.weight": "a", ".lora_B.weight": "b"}
_PLAIN_INITS: tuple[Any, ...] = (None, True, False, "gaussian", "eva", "orthogonal")
_LIBRARY = re.compile(r"transformers(\.models\.[a-z0-9_.]+)?")
_UNSUPPORTED = (
    "use_dora", "modules_to_save", "fan_in_fan_out", "lora_bias", "layer_replication", "trainable_token_indices",
    "alpha_pattern", "target_parameters", "use_bdlora",
)  # fmt: skip


@dataclass(frozen=True)
class LoraPair:
    """The change of one module: ``W + scale * B @ A``.

    Attributes:
        module: Name of the module in the base model, such as ``model.layers.0.self_attn.q_proj``.
        a: ``[rank, in]``.
        b: ``[out, rank]``.
        scale: ``alpha / rank``, or ``alpha / sqrt(rank)`` for rsLoRA.
    """

    module: str
    a: TensorInfo
    b: TensorInfo
    scale: float

    @property
    def rank(self) -> int:
        return self.a.shape[0]


@dataclass(frozen=True)
class Adapter:
    """A checked LoRA adapter. ``base`` is what it declares in ``base_model_name_or_path``: a hint, never followed."""

    base: str | None
    alpha: float
    pairs: dict[str, LoraPair]

    def check_fits(self, tensors: Mapping[str, TensorInfo]) -> None:
        """Raises: FormatInvalid: a module is not in the base model, or has another shape there."""
        for pair in self.pairs.values():
            weight = tensors.get(f"{pair.module}.weight")
            if weight is None:
                raise FormatInvalid(f"the adapter changes {pair.module!r}, which has no weights of its own in the base")
            if weight.shape != (pair.b.shape[0], pair.a.shape[1]):
                raise FormatInvalid(
                    f"the adapter's {pair.module!r} is for a matrix of {pair.b.shape[0]} x {pair.a.shape[1]},"
                    f" the base has {' x '.join(map(str, weight.shape))}: it was trained on another base"
                )


def read_adapter(adapter_dir: Path) -> Adapter:
    """Read and check ``adapter_config.json`` and ``adapter_model.safetensors``; no name in them is followed or matched.

    Raises: FormatInvalid: damaged, not LoRA, or of a LoRA variant whose change is more than ``scale * B @ A``.
    """
    config = read_json_object(adapter_dir / "adapter_config.json")
    check_adapter_config(config)
    weights = adapter_dir / "adapter_model.safetensors"
    if not weights.is_file():
        raise FormatInvalid(f"adapter_model.safetensors is missing in {adapter_dir.name!r}")
    alpha = float(config["lora_alpha"])
    halves: dict[str, dict[str, TensorInfo]] = {}
    for name, info in read_header(weights).tensors.items():
        suffix = next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), None)
        if suffix is None or not name.startswith(_PREFIX):
            raise FormatInvalid(f"adapter_model.safetensors: {name[:200]!r} is not part of a plain LoRA adapter")
        halves.setdefault(name[len(_PREFIX) : -len(suffix)], {})[_SUFFIXES[suffix]] = info
    if not halves:
        raise FormatInvalid("adapter_model.safetensors holds no LoRA matrices")
    rooted = config.get("use_rslora") is True
    pairs = {module: _pair(module, found, alpha, rooted) for module, found in sorted(halves.items())}
    base = config.get("base_model_name_or_path")
    return Adapter(base=base if isinstance(base, str) else None, alpha=alpha, pairs=pairs)


def check_adapter_config(config: dict[str, Any]) -> None:
    """Raises: FormatInvalid: not plain LoRA, or a rank or alpha that no adapter has."""
    if config.get("peft_type") != "LORA":
        raise FormatInvalid(
            f"adapter_config.json: peft_type {str(config.get('peft_type'))[:40]!r}; only LORA is supported"
        )
    mapping = config.get("auto_mapping") or {"parent_library": "transformers"}
    if not isinstance(mapping, dict) or not _LIBRARY.fullmatch(str(mapping.get("parent_library"))):
        raise FormatInvalid(
            "adapter_config.json: auto_mapping names a Python class outside transformers to be imported"
        )
    if config.get("bias", "none") != "none":
        raise FormatInvalid(
            "adapter_config.json: bias must be 'none'; trained biases are not part of the adapter matrices"
        )
    if config.get("init_lora_weights") not in _PLAIN_INITS:
        raise FormatInvalid(
            f"adapter_config.json: init_lora_weights {str(config['init_lora_weights'])[:40]!r} changes the base too;"
            " save the adapter with peft's path_initial_model_for_weight_conversion first"
        )
    for key in _UNSUPPORTED:
        if config.get(key):
            raise FormatInvalid(f"adapter_config.json: {key} is not supported; train without it")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if isinstance(rank, bool) or not isinstance(rank, int) or not 0 < rank <= MAX_RANK:
        raise FormatInvalid(f"adapter_config.json: r must be from 1 to {MAX_RANK}, not {str(rank)[:40]}")
    if not isinstance(alpha, (int, float)) or not 0 < alpha < 1e6:
        raise FormatInvalid(f"adapter_config.json: lora_alpha must be above 0 and below 1e6, not {str(alpha)[:40]}")


def _pair(module: str, found: dict[str, TensorInfo], alpha: float, rooted: bool) -> LoraPair:
    if set(found) != {"a", "b"}:
        raise FormatInvalid(f"adapter_model.safetensors: {module!r} has only one of lora_A and lora_B")
    a, b = found["a"], found["b"]
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != b.shape[1] or not 0 < a.shape[0] <= MAX_RANK:
        raise FormatInvalid(
            f"adapter_model.safetensors: lora_A {a.shape} and lora_B {b.shape} of {module!r} do not fit"
        )
    rank = a.shape[0]
    return LoraPair(module, a, b, alpha / (math.sqrt(rank) if rooted else rank))
