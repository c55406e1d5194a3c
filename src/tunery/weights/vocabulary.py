"""A tokenizer's vocabulary as GGUF stores it: tokens, types, merges, special tokens, chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery.errors import FormatInvalid
from tunery.weights.files import read_json_object

if TYPE_CHECKING:
    from gguf import GGUFWriter

__all__ = ["PRE_TOKENIZERS", "write_vocabulary"]

_BYTE_LEVEL: dict[str, Any] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _split_by(numbers: str) -> dict[str, Any]:
    pattern = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{numbers}{_REST}"
    return {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
            {**_BYTE_LEVEL, "use_regex": False},
        ],
    }


PRE_TOKENIZERS: dict[str, dict[str, Any]] = {
    "smollm": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, _BYTE_LEVEL]},
    "gpt-2": _BYTE_LEVEL,
    "llama-bpe": _split_by(r"\p{N}{1,3}"),
    "qwen2": _split_by(r"\p{N}"),
}
"""``tokenizer.ggml.pre`` by the ``pre_tokenizer`` of tokenizer.json that splits text the same way."""


def write_vocabulary(writer: GGUFWriter, model_dir: Path, vocab_size: int) -> None:
    """Add the vocabulary of a model folder's tokenizer.json to a GGUF file.

    Raises: FormatInvalid: the tokenizer is of a kind that llama.cpp would split differently.
    """
    from gguf import SpecialVocab

    tokenizer = read_json_object(model_dir / "tokenizer.json")
    model = tokenizer.get("model") or {}
    if model.get("type") != "BPE":
        raise FormatInvalid(f"a tokenizer of type {model.get('type')!r} cannot be converted to GGUF; only BPE can")
    tokens, types = _tokens(tokenizer, vocab_size)
    special = SpecialVocab(model_dir, load_merges=True, n_vocab=vocab_size)
    special.add_special_token.setdefault("bos", False)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_tokenizer_id(tokenizer))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    special.add_to_gguf(writer, quiet=True)


def _tokens(tokenizer: dict[str, Any], vocab_size: int) -> tuple[list[str], list[int]]:
    from gguf import TokenType

    tokens = [f"[PAD{index}]" for index in range(vocab_size)]
    types = [int(TokenType.UNUSED)] * vocab_size
    added = {item["content"]: item for item in tokenizer.get("added_tokens") or []}
    for token, index in {**tokenizer["model"]["vocab"], **{t: i["id"] for t, i in added.items()}}.items():
        if not 0 <= index < vocab_size:
            raise FormatInvalid(
                f"tokenizer.json: token {token[:40]!r} has id {index}, outside the {vocab_size} of the model"
            )
        kind = TokenType.NORMAL
        if token in added:
            kind = TokenType.CONTROL if added[token].get("special") else TokenType.USER_DEFINED
        tokens[index], types[index] = token, int(kind)
    return tokens, types


def _pre_tokenizer_id(tokenizer: dict[str, Any]) -> str:
    found = _essence(tokenizer.get("pre_tokenizer"))
    for name, known in PRE_TOKENIZERS.items():
        if found == _essence(known):
            return name
    raise FormatInvalid(
        f"the pre_tokenizer of tokenizer.json is not one that llama.cpp is known to split alike"
        f" (known: {', '.join(PRE_TOKENIZERS)}): {json.dumps(tokenizer.get('pre_tokenizer'))[:300]}"
    )


def _essence(pre_tokenizer: Any) -> Any:
    """Drop what does not change how text is split: offsets trimming, and the defaults that older files leave out."""
    if not isinstance(pre_tokenizer, dict):
        return pre_tokenizer
    if pre_tokenizer.get("type") == "Sequence":
        return [_essence(part) for part in pre_tokenizer.get("pretokenizers", [])]
    defaults = {"use_regex": True} if pre_tokenizer.get("type") == "ByteLevel" else {}
    return defaults | {key: value for key, value in pre_tokenizer.items() if key != "trim_offsets"}
