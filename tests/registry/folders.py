"""Small model and adapter folders, made without torch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tunery.weights.safetensors import write_safetensors

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 16,
    "max_position_embeddings": 32,
}


def make_model_folder(folder: Path, seed: int = 0) -> Path:
    """Write a folder that has the form of a model: 16 x 8 embeddings and one 8 x 8 layer."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    random = np.random.default_rng(seed)
    tensors = {
        "model.embed_tokens.weight": random.normal(size=(16, 8)).astype(np.float32),
        "model.layers.0.self_attn.q_proj.weight": random.normal(size=(8, 8)).astype(np.float32),
    }
    write_safetensors(folder / "model.safetensors", tensors)
    return folder


def make_adapter_folder(folder: Path, seed: int = 1) -> Path:
    """Write a LoRA adapter of rank 2 on the one layer."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    random = np.random.default_rng(seed)
    prefix = "base_model.model.model.layers.0.self_attn.q_proj"
    tensors = {
        f"{prefix}.lora_A.weight": random.normal(size=(2, 8)).astype(np.float32),
        f"{prefix}.lora_B.weight": random.normal(size=(8, 2)).astype(np.float32),
    }
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    return folder
