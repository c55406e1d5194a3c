"""Tiny random models of each family, with a small tokenizer trained on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TEXT = [
    "The quick brown fox jumps over the lazy dog; it's 1234 times, isn't it?",
    "def area(radius):\n    return 3.14159 * radius ** 2\n",
    "350 Fifth Ave, NY 10118, the capital of France is Paris. Größe 東京",
]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE tokenizer that splits as SmolLM2's does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        TEXT * 4, trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=special[1], eos_token=special[2], unk_token=special[0], pad_token=special[2]
    )
    tokenizer.chat_template = TEMPLATE
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(folder)
    return folder


MakeModel = Callable[..., Path]


@pytest.fixture(scope="session")
def make_model(tokenizer_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """Make a random model folder: ``make_model("llama", tie_word_embeddings=True)``; two layers, hidden size 64.

    The weights are spread ten times as wide as usual, so that attention decides what comes out.
    """

    def make(family: str = "llama", dtype: str = "bfloat16", seed: int = 0, **config: Any) -> Path:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
        sizes = {
            "vocab_size": len(tokenizer),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
            "initializer_range": 0.2,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        }
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **(sizes | config)))
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                torch.nn.init.normal_(parameter, mean=float("norm" in name), std=0.2)
        folder = tmp_path_factory.mktemp(family)
        model.to(getattr(torch, dtype)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_llama(make_model: MakeModel) -> Path:
    """A llama with tied embeddings, as SmolLM2 is."""
    return make_model("llama", tie_word_embeddings=True)


MakeAdapter = Callable[..., Path]


@pytest.fixture(scope="session")
def make_adapter(tmp_path_factory: pytest.TempPathFactory) -> MakeAdapter:
    """Make a random LoRA adapter folder with peft: ``make_adapter(model_dir, target_modules=["q_proj"])``."""

    def make(model_dir: Path, seed: int = 1, **config: Any) -> Path:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
        # False makes B random too; with the default, an untrained adapter changes nothing.
        lora = LoraConfig(**({"r": 4, "lora_alpha": 8, "init_lora_weights": False, "task_type": "CAUSAL_LM"} | config))
        folder = tmp_path_factory.mktemp("adapter")
        get_peft_model(model, lora).save_pretrained(folder, save_embedding_layers=False)
        return folder

    return make
