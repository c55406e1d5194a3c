"""A tiny random model with a byte tokenizer and a chat template, and rows for it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(template: str | None = CHATML, merges: list[tuple[str, str]] | None = None) -> Any:
    """A tokenizer of single bytes (and the given merges of them) with three control tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    merges = merges or []
    letters = sorted(pre_tokenizers.ByteLevel.alphabet()) + [left + right for left, right in merges]
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
    )
    tokenizer.chat_template = template
    return tokenizer


def make_model(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """A random Llama of three blocks and 40,000 parameters, saved as float32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = LlamaConfig(
        **{
            **sizes,
            "num_key_value_heads": 2,
            "vocab_size": 264,
            "max_position_embeddings": 512,
            "tie_word_embeddings": True,
            **changes,
        }
    )
    LlamaForCausalLM(config).to(torch.float32).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def write_rows(path: Path, count: int, seed: int = 0) -> Path:
    """Chats of many lengths: the answer is the question in capitals."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        word = "".join(draw.choice("abcdefgh") for _ in range(draw.randint(2, 24)))
        messages = [{"role": "user", "content": word}, {"role": "assistant", "content": word.upper()}]
        rows.append({"row_id": f"row-{number}", "messages": messages})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
