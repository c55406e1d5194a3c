"""The model under training: the base, its adapter, and how a loss is computed on it."""

from __future__ import annotations

import difflib
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tunery.errors import FormatInvalid, InvalidInput
from tunery.kit.extras import require
from tunery.training.devices import Machine
from tunery.training.kernels import linear_cross_entropy
from tunery.training.schemas import LoraAdapter
from tunery.training.twins import speed_up

__all__ = ["Policy", "add_adapter", "load_policy", "model_config"]


@dataclass
class Policy:
    """A model that learns.

    Attributes:
        model: The causal language model; wrapped by peft where an adapter is trained.
        machine: Where it computes.
        trainable: The weights that learn, by name, sorted; float32.
        base_dtype: Dtype of the base model's files.
        plain_head: Whether the logits are just the last hidden state times the output matrix.
    """

    model: Any
    machine: Machine
    trainable: dict[str, nn.Parameter]
    base_dtype: torch.dtype
    plain_head: bool

    @property
    def device(self) -> torch.device:
        return self.machine.device

    @property
    def causal(self) -> Any:
        """The transformers model itself."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    def token_loss(self, ids: Tensor, places: Tensor, labels: Tensor) -> Tensor:
        """Return the summed cross-entropy of the labels.

        Args:
            ids: ``int64 [batch, length]``, padded on the right.
            places: ``int64 [tokens]``, positions in the flattened ids that predict the labels.
            labels: ``int64 [tokens]``.
        """
        with self._autocast():
            if self.plain_head:
                rows = self._hidden(ids, places)
                return linear_cross_entropy(
                    rows, self.causal.get_output_embeddings().weight, labels, self.machine.dtype
                )
            return F.cross_entropy(self.logits(ids, places).float(), labels, reduction="sum")

    def logits(self, ids: Tensor, places: Tensor) -> Tensor:
        """Return the logits ``[tokens, vocabulary]`` at the places; arguments as for ``token_loss``."""
        with self._autocast():
            if self.plain_head:
                head: Tensor = self.causal.get_output_embeddings()(self._hidden(ids, places))
                return head
            logits: Tensor = self.causal(input_ids=ids, use_cache=False).logits
            return logits.reshape(-1, logits.shape[-1]).index_select(0, places)

    def _hidden(self, ids: Tensor, places: Tensor) -> Tensor:
        hidden: Tensor = self.causal.base_model(input_ids=ids, use_cache=False).last_hidden_state
        return hidden.reshape(-1, hidden.shape[-1]).index_select(0, places)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.machine.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.machine.dtype)


def load_policy(model_dir: Path, machine: Machine, lora: LoraAdapter | None) -> Policy:
    """Load a base model and make its adapter, or all of its weights, trainable.

    A frozen base is held in the dtype of the computation, weights that learn in float32. New adapter weights come from
    torch's random numbers, made on the CPU, so that a seed means the same on every device.

    Raises: FormatInvalid: no causal language model in safetensors. InvalidInput: the adapter names layers it lacks.
    """
    config = model_config(model_dir)
    transformers = require("transformers", "train")
    transformers.utils.logging.disable_progress_bar()
    try:
        base = transformers.AutoModelForCausalLM.from_pretrained(
            model_dir,
            config=config,
            dtype=machine.dtype if lora else torch.float32,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError) as fault:
        raise FormatInvalid(f"the base model in {model_dir.name!r} cannot be loaded: {fault}") from fault
    base_dtype = getattr(config, "dtype", None) or torch.float32
    model = add_adapter(base, lora) if lora else base.requires_grad_(True)
    model.to(machine.device)
    trainable = {name: weight for name, weight in sorted(model.named_parameters()) if weight.requires_grad}
    policy = Policy(model, machine, trainable, base_dtype, plain_head=False)
    policy.plain_head = _has_plain_head(policy)
    speed_up(policy.causal, machine)
    return policy


def model_config(model_dir: Path) -> Any:
    """Read a model's config. Raises: FormatInvalid: none is there, or only its own Python code could read it."""
    transformers = require("transformers", "train")
    try:
        return transformers.AutoConfig.from_pretrained(model_dir, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as fault:
        raise FormatInvalid(f"{model_dir.name!r} is no model that transformers opens: {fault}") from fault


def add_adapter(base: Any, lora: LoraAdapter) -> Any:
    """Freeze a model and put LoRA matrices beside its layers. Raises: InvalidInput: it lacks what is named."""
    peft = require("peft", "train")
    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=_target_modules(base, lora),
        layers_to_transform=_blocks(base, lora),
    )
    model = peft.get_peft_model(base, config)
    for name, weight in model.named_parameters():
        weight.requires_grad_(".lora_" in name)
    return model


def _target_modules(base: Any, lora: LoraAdapter) -> list[str]:
    head = base.get_output_embeddings()
    linear = {name for name, module in base.named_modules() if isinstance(module, nn.Linear) and module is not head}
    leaves = sorted({name.rpartition(".")[2] for name in linear})
    if lora.target_modules == "all-linear":
        if not leaves:
            raise InvalidInput("adapter: the base model has no linear layer that LoRA could adapt; use adapter: none")
        return leaves
    for wanted in lora.target_modules:
        if not any(name == wanted or name.endswith(f".{wanted}") for name in linear):
            near = difflib.get_close_matches(wanted, leaves, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise InvalidInput(f"adapter.target_modules: there is no layer {wanted!r}{hint} Known: {', '.join(leaves)}")
    return sorted(lora.target_modules)


def _blocks(base: Any, lora: LoraAdapter) -> list[int] | None:
    count = int(base.config.get_text_config().num_hidden_layers)
    blocks = lora.blocks(count)
    if blocks and blocks[-1] >= count:
        raise InvalidInput(f"adapter.layers: there is no block {blocks[-1]}; the base model has 0 to {count - 1}")
    return blocks


def _has_plain_head(policy: Policy) -> bool:
    """Tell whether the logits are the last hidden state times the output matrix: no scale, no cap."""
    causal = policy.causal
    head = causal.get_output_embeddings()
    if not isinstance(head, nn.Linear) or head.bias is not None:
        return False
    ids = torch.arange(8, device=policy.device)[None]
    training = causal.training
    causal.eval()
    with torch.no_grad():
        logits = causal(input_ids=ids, use_cache=False).logits
        plain = head(causal.base_model(input_ids=ids, use_cache=False).last_hidden_state)
    causal.train(training)
    return bool(plain.shape == logits.shape and torch.equal(plain, logits))
