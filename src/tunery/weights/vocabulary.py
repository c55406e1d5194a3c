"""A tokenizer's vocabulary as GGUF stores it: tokens, types, merges, special tokens, chat template."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery.errors import FormatInvalid
from tunery.weights.files import read_json_object, write_json, write_whole

if TYPE_CHECKING:
    from gguf import GGUFWriter

__all__ = ["PRE_TOKENIZERS", "read_tokenizer", "write_tokenizer", "write_vocabulary"]

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


_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5
"""``tokenizer.ggml.token_type``. Source: ``TokenType`` of the gguf package."""

PRE_TOKENIZERS: dict[str, dict[str, Any]] = {
    "smollm": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, _BYTE_LEVEL]},
    "gpt-2": _BYTE_LEVEL,
    "llama-bpe": _split_by(r"\p{N}{1,3}"),
    "qwen2": _split_by(r"\p{N}"),
}
"""``tokenizer.ggml.pre`` by the ``pre_tokenizer`` of tokenizer.json that splits text the same way."""


def write_tokenizer(
    tokenizer: dict[str, Any], values: Mapping[str, Any], out_dir: Path, context_length: int
) -> list[str]:
    """Write the tokenizer files of a model folder, with what else a GGUF file says of them; returns their names.

    Args:
        tokenizer: From ``read_tokenizer``.
        values: The key-value pairs of the GGUF file.
        out_dir: The model folder.
        context_length: Longest text in tokens.
    """
    write_json(out_dir / "tokenizer.json", tokenizer)
    tokens = values["tokenizer.ggml.tokens"]
    settings: dict[str, Any] = {
        "clean_up_tokenization_spaces": False,
        "model_max_length": context_length,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    for key, name in {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}.items():
        if (index := values.get(f"tokenizer.ggml.{name}_token_id")) is not None:
            settings[f"{key}_token"] = tokens[index]
    write_json(out_dir / "tokenizer_config.json", settings)
    template = values.get("tokenizer.chat_template")
    if not isinstance(template, str):
        return ["tokenizer.json", "tokenizer_config.json"]
    with write_whole(out_dir / "chat_template.jinja") as partial:
        partial.write_bytes(template.encode())
    return ["chat_template.jinja", "tokenizer.json", "tokenizer_config.json"]


def read_tokenizer(values: Mapping[str, Any], vocab_size: int) -> dict[str, Any]:
    """Build a tokenizer.json from the key-value pairs of a GGUF file.

    Raises: FormatInvalid: not a byte-level BPE vocabulary that can be rebuilt faithfully, or one that does not hold
        together.
    """
    model, pre = values.get("tokenizer.ggml.model"), values.get("tokenizer.ggml.pre")
    if model != "gpt2" or pre not in PRE_TOKENIZERS:
        raise FormatInvalid(
            f"the GGUF tokenizer {str(model)[:40]!r} with pre-tokenizer {str(pre)[:40]!r} cannot be rebuilt;"
            f" supported: 'gpt2' with {', '.join(PRE_TOKENIZERS)}"
        )
    tokens = _strings(values, "tokens")
    merges = [merge.partition(" ")[::2] for merge in _strings(values, "merges")]
    types = values.get("tokenizer.ggml.token_type", [_NORMAL] * len(tokens))
    ids = [values.get(f"tokenizer.ggml.{name}_token_id", 0) for name in ("bos", "eos", "unknown", "padding")]
    known = set(tokens)
    if (
        not isinstance(types, list)
        or not len(types) == len(tokens) == len(known) == vocab_size
        or not all(isinstance(index, int) and 0 <= index < vocab_size for index in ids)
        or not all({left, right, left + right} <= known for left, right in merges)
    ):
        raise FormatInvalid("the GGUF tokenizer does not hold together: its tokens, types, merges and special tokens")
    bos = tokens[ids[0]] if values.get("tokenizer.ggml.add_bos_token") else None
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": index, "content": tokens[index], "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": types[index] == _CONTROL}
            for index in range(len(tokens)) if types[index] in {_CONTROL, _USER_DEFINED}
        ],
        "normalizer": {"type": "NFC"} if pre == "qwen2" else None,
        "pre_tokenizer": PRE_TOKENIZERS[pre],
        "post_processor": _begin_with(bos, ids[0]),
        "decoder": _BYTE_LEVEL,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": pre == "llama-bpe",
            "vocab": {token: index for index, token in enumerate(tokens) if types[index] != _UNUSED},
            "merges": [list(merge) for merge in merges],
        },
    }  # fmt: skip


def _strings(values: Mapping[str, Any], name: str) -> list[str]:
    found = values.get(f"tokenizer.ggml.{name}")
    if not isinstance(found, list) or not found or not isinstance(found[0], str):
        raise FormatInvalid(f"the GGUF tokenizer has no {name}")
    return found


def _begin_with(token: str | None, index: int) -> dict[str, Any] | None:
    if token is None:
        return None
    first: dict[str, Any] = {"SpecialToken": {"id": token, "type_id": 0}}
    one, two = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [first, one],
        "pair": [first, one, two],
        "special_tokens": {token: {"id": token, "ids": [index], "tokens": [token]}},
    }


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
    tokens = [f"[PAD{index}]" for index in range(vocab_size)]
    types = [_UNUSED] * vocab_size
    added = {item["content"]: item for item in tokenizer.get("added_tokens") or []}
    for token, index in {**tokenizer["model"]["vocab"], **{t: i["id"] for t, i in added.items()}}.items():
        if not 0 <= index < vocab_size:
            raise FormatInvalid(
                f"tokenizer.json: token {token[:40]!r} has id {index}, outside the {vocab_size} of the model"
            )
        kind = _NORMAL
        if token in added:
            kind = _CONTROL if added[token].get("special") else _USER_DEFINED
        tokens[index], types[index] = token, kind
    return tokens, types


def _pre_tokenizer_id(tokenizer: dict[str, Any]) -> str:
    # llama.cpp normalizes nothing; NFC leaves alone nearly every text as people type it.
    if (tokenizer.get("normalizer") or {}).get("type", "NFC") != "NFC":
        raise FormatInvalid(
            f"the normalizer of tokenizer.json has no GGUF form: {json.dumps(tokenizer['normalizer'])[:300]}"
        )
    found = _essence(tokenizer.get("pre_tokenizer"))
    for name, known in PRE_TOKENIZERS.items():
        if found == _essence(known):
            if bool(tokenizer["model"].get("ignore_merges")) != (name == "llama-bpe"):
                raise FormatInvalid(f"the ignore_merges of tokenizer.json is not what llama.cpp does for {name!r}")
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
