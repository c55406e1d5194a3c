"""The trained files, written so that equal weights are equal bytes."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tunery.kit.extras import require
from tunery.training.batches import Plan
from tunery.training.checkpoints import new_folder
from tunery.training.model import Policy
from tunery.training.ports import Example
from tunery.weights.files import write_json, write_whole
from tunery.weights.safetensors import write_safetensors

__all__ = ["load_weights", "write_adapter", "write_consumed_rows", "write_full_model"]

_BESIDE = (
    "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja", "LICENSE",
)  # fmt: skip


def write_adapter(policy: Policy, output_dir: Path, base_name: str) -> None:
    """Write the adapter as a folder that peft, transformers and vLLM open. ``base_name`` is a name, never a path."""
    weights = require("peft", "train").get_peft_model_state_dict(policy.model, save_embedding_layers=False)
    config = policy.model.peft_config["default"].to_dict()
    config |= {"base_model_name_or_path": base_name, "inference_mode": True}
    config["target_modules"] = sorted(config["target_modules"])
    with new_folder(output_dir) as stage:
        write_safetensors(stage / "adapter_model.safetensors", weights)
        write_json(stage / "adapter_config.json", json.loads(json.dumps(config, default=_plain)))


def write_full_model(policy: Policy, output_dir: Path, model_dir: Path) -> None:
    """Write all weights in the base's dtype, with the base's config and tokenizer, as transformers opens them."""
    policy.model.to(policy.base_dtype)
    with new_folder(output_dir) as stage:
        # transformers alone knows which names its files use; its bytes are then put into the canonical order.
        policy.model.save_pretrained(stage / "own", max_shard_size="1000GB")
        from safetensors.torch import load_file

        write_safetensors(stage / "model.safetensors", load_file(stage / "own" / "model.safetensors"))
        shutil.rmtree(stage / "own")
        for name in ("config.json", *_BESIDE):
            if (model_dir / name).is_file():
                with write_whole(stage / name) as partial:
                    shutil.copyfile(model_dir / name, partial)


def write_consumed_rows(path: Path, plan: Plan, examples: list[Example], steps: int) -> list[dict[str, Any]]:
    """Write the ids of the rows that went into each step, in order, and return count and digest for each epoch.

    The order is a function of the plan, so it is written at the end and needs no record on the way. The digest is the
    SHA-256 of the epoch's row ids, each followed by a line feed.
    """
    epochs = []
    with write_whole(path) as partial, partial.open("w", encoding="utf-8") as file:
        for epoch in range(1, plan.epoch_of(steps) + 1):
            digest, rows = hashlib.sha256(), 0
            first = (epoch - 1) * plan.steps_per_epoch
            for step, batches in enumerate(plan.epoch(epoch), start=first + 1):
                if step > steps:
                    break
                ids = [examples[row].row_id for batch in batches for row in batch]
                file.write(json.dumps({"epoch": epoch, "step": step, "row_ids": ids}) + "\n")
                digest.update("".join(f"{row_id}\n" for row_id in ids).encode())
                rows += len(ids)
            epochs.append({"epoch": epoch, "rows": rows, "sha256": digest.hexdigest()})
    return epochs


def load_weights(policy: Policy, weights: Mapping[str, torch.Tensor]) -> None:
    """Put saved weights into the model."""
    with torch.no_grad():
        for name, value in weights.items():
            policy.trainable[name].copy_(value)


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else str(getattr(value, "value", value))
