"""Put the faster forms of ``kernels`` into a model, wherever they are proven to give what its own layers give."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from tunery.training.devices import Machine
from tunery.training.kernels import causal_attention, lora_linear, rms_norm

__all__ = ["speed_up"]

_ATTENTION = "tunery_causal"
_LONGEST = 1024
"""Tokens up to which plain products were faster; their memory grows with the square."""


def speed_up(model: Any, machine: Machine) -> None:
    """Replace the forward of LoRA layers and norms, and the attention on CPUs that compute in bfloat16.

    A layer keeps its own forward unless the faster one agreed with it on random numbers; equal layers are tried once.
    """
    if machine.device.type == "cpu" and machine.dtype == torch.bfloat16:
        _use_plain_attention(model)
    proven: dict[tuple[Any, ...], bool] = {}
    for module in model.modules():
        twin = _twin(module)
        if twin is not None:
            kind = (type(module), module_shape(module))
            if kind not in proven:
                proven[kind] = _agrees(module, twin)
            if proven[kind]:
                module.forward = MethodType(twin, module)


def module_shape(module: nn.Module) -> tuple[Any, ...]:
    """Return what tells one layer of a class from another: the shapes and dtypes of its weights."""
    return tuple((name, tuple(weight.shape), weight.dtype) for name, weight in module.named_parameters())


def _twin(module: nn.Module) -> Any:
    if type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
        return _norm_forward
    if type(module).__name__ == "Linear" and len(getattr(module, "lora_A", ())) == 1:
        return _lora_forward
    return None


def _norm_forward(self: Any, hidden_states: Tensor) -> Tensor:
    return rms_norm(hidden_states, self.weight, self.variance_epsilon)


def _lora_forward(self: Any, x: Tensor) -> Tensor:
    (name,) = self.lora_A
    base = self.base_layer
    dropout = self.lora_dropout[name].p if self.training and isinstance(self.lora_dropout[name], nn.Dropout) else 0.0
    return lora_linear(
        x.to(base.weight.dtype),
        base.weight,
        base.bias,
        self.lora_A[name].weight,
        self.lora_B[name].weight,
        self.scaling[name],
        dropout,
    )


def _agrees(module: nn.Module, twin: Any) -> bool:
    """Compare a layer with its twin on random numbers, in which no weight is zero and dropout is off."""
    weights = list(module.named_parameters())
    size = next(weight.shape[-1] for _, weight in weights)
    device, dtype = weights[0][1].device, weights[0][1].dtype
    training, kept = module.training, [weight.detach().clone() for _, weight in weights]
    noise = torch.Generator().manual_seed(0)
    module.eval()
    with torch.no_grad():
        for _, weight in weights:
            weight.copy_(torch.randn(weight.shape, generator=noise))
        x = torch.randn(3, 5, size, generator=noise).to(device, dtype)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            own = module(x).float()
            ours = twin(module, x).float()
        for (_, weight), value in zip(weights, kept, strict=True):
            weight.copy_(value)
    module.train(training)
    allowed = 1e-4 if dtype == torch.float32 else 2e-2  # bfloat16 keeps 8 bits, and the order of sums differs
    return bool(((own - ours).norm() <= allowed * own.norm()).item())


def _use_plain_attention(model: Any) -> None:
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    if model.config._attn_implementation != "sdpa":
        return
    ALL_ATTENTION_FUNCTIONS.register(_ATTENTION, _attend)
    ALL_MASK_ATTENTION_FUNCTIONS.register(_ATTENTION, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    model.set_attn_implementation(_ATTENTION)


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    plain = (
        attention_mask is None
        and options.get("scaling") is not None
        and not options.get("dropout")
        and options.get("position_bias") is None
        and getattr(module, "is_causal", True)
        and query.shape[2] == key.shape[2] <= _LONGEST
        and key.shape == value.shape
    )
    if not plain:
        out: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return out
    return causal_attention(query, key, value, options["scaling"]).transpose(1, 2).contiguous(), None
