from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.weights.conftest import TEXT, MakeAdapter, MakeModel
from tunery.errors import EngineFailed, FormatInvalid
from tunery.inference.parity import prove_parity
from tunery.weights.arrays import read_float32
from tunery.weights.families import restore_rows
from tunery.weights.gguf_header import read_gguf_header
from tunery.weights.gguf_read import gguf_to_transformers
from tunery.weights.gguf_write import adapter_to_gguf, transformers_to_gguf
from tunery.weights.safetensors import model_tensors, write_safetensors
from tunery.weights.vocabulary import PRE_TOKENIZERS

LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {
    "llama, tied": {"family": "llama", "tie_word_embeddings": True},
    "llama, untied": {"family": "llama", "tie_word_embeddings": False},
    "llama, wide heads": {"family": "llama", "head_dim": 32},
    "llama, biases": {"family": "llama", "attention_bias": True},
    "llama, rope llama3": {"family": "llama", "rope_parameters": LLAMA3},
    "llama, rope linear": {
        "family": "llama",
        "rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0},
    },
    "llama, float32": {"family": "llama", "dtype": "float32"},
    "mistral": {"family": "mistral"},
    "qwen2": {"family": "qwen2"},
    "qwen3": {"family": "qwen3", "head_dim": 32},
}


def _changed_gguf(
    source: Path, out: Path, change: dict[str, Any], without: str | None = None, quantize: bool = False
) -> Path:
    """Write a GGUF file anew with other values, without a tensor, or with its matrices as Q8_0."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(out, change.get("general.architecture", "llama"))
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            sub = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, change.get(field.name, field.contents()), field.types[0], sub)
    for tensor in reader.tensors:
        kind = gguf.GGMLQuantizationType.Q8_0 if quantize and len(tensor.shape) == 2 else tensor.tensor_type
        if tensor.name != without:
            writer.add_tensor(tensor.name, gguf.quants.quantize(tensor.data, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


@pytest.mark.parametrize("name", MODELS)
def test_llama_cpp_computes_with_the_gguf_file_what_transformers_computes(
    make_model: MakeModel, tmp_path: Path, name: str
) -> None:
    model = make_model(**MODELS[name])
    transformers_to_gguf(model, tmp_path / "f32.gguf", dtype="f32")
    report = prove_parity(model, tmp_path / "f32.gguf")
    # Up to 8 places in each of 4 prompts
    assert 24 < report.positions == report.same_top_token <= 32
    assert report.max_difference < 0.001


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_sixteen_bit_files_stay_within_the_tolerance(tiny_llama: Path, tmp_path: Path, dtype: str) -> None:
    transformers_to_gguf(tiny_llama, tmp_path / "model.gguf", dtype)
    assert prove_parity(tiny_llama, tmp_path / "model.gguf").max_difference < 0.1


def test_query_and_key_rows_left_in_the_wrong_order_fail_the_parity_check(
    make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model("llama")
    wrong = shutil.copytree(model, tmp_path / "wrong")
    tensors = load_file(model / "model.safetensors")
    # What the conversion does to these rows is undone beforehand, so the file holds them as transformers has them.
    for name, heads in {"q_proj": 4, "k_proj": 2}.items():
        for layer in range(2):
            key = f"model.layers.{layer}.self_attn.{name}.weight"
            tensors[key] = torch.from_numpy(restore_rows(tensors[key].float().numpy(), heads)).bfloat16()
    write_safetensors(wrong / "model.safetensors", tensors)
    transformers_to_gguf(wrong, tmp_path / "wrong.gguf")
    with pytest.raises(FormatInvalid, match="log-probabilities differ"):
        prove_parity(model, tmp_path / "wrong.gguf")


def test_a_gguf_file_that_splits_text_otherwise_fails_the_parity_check(tiny_llama: Path, tmp_path: Path) -> None:
    merges = json.loads((tiny_llama / "tokenizer.json").read_text())["model"]["merges"]
    other = _with_tokenizer(tiny_llama, tmp_path / "other", model={"merges": merges[:5]})
    transformers_to_gguf(other, tmp_path / "other.gguf")
    with pytest.raises(FormatInvalid, match="splits"):
        prove_parity(tiny_llama, tmp_path / "other.gguf")


def test_a_gguf_file_that_llama_cpp_cannot_open_is_an_engine_failure(tiny_llama: Path, tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "empty.gguf", "llama")
    writer.add_tensor("a", np.zeros(1, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(EngineFailed, match=r"empty\.gguf"):
        prove_parity(tiny_llama, tmp_path / "empty.gguf")


@pytest.mark.parametrize("name", ["llama, tied", "llama, untied", "llama, biases", "qwen2", "qwen3"])
def test_a_model_survives_the_way_to_gguf_and_back(make_model: MakeModel, tmp_path: Path, name: str) -> None:
    model = make_model(**MODELS[name])
    transformers_to_gguf(model, tmp_path / "model.gguf", dtype="bf16")
    report = gguf_to_transformers(tmp_path / "model.gguf", tmp_path / "back")
    before, after = model_tensors(model), model_tensors(tmp_path / "back")
    assert set(before) == set(after)
    assert all(np.array_equal(read_float32(before[name]), read_float32(after[name])) for name in before)
    assert report.parameter_count == sum(info.parameter_count for info in before.values())
    ours, theirs = (json.loads((folder / "config.json").read_text()) for folder in (tmp_path / "back", model))
    same = (
        "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "rms_norm_eps", "rope_parameters", "max_position_embeddings", "tie_word_embeddings",
        "bos_token_id", "eos_token_id", "pad_token_id",
    )  # fmt: skip
    assert {key: ours.get(key) for key in same} == {key: theirs.get(key) for key in same}


def test_the_tokenizer_and_template_survive_the_way_to_gguf_and_back(tiny_llama: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    transformers_to_gguf(tiny_llama, tmp_path / "model.gguf")
    gguf_to_transformers(tmp_path / "model.gguf", tmp_path / "back")
    before, after = AutoTokenizer.from_pretrained(tiny_llama), AutoTokenizer.from_pretrained(tmp_path / "back")
    for text in [*TEXT, "<|im_start|>user\nHi 2026<|im_end|>", " \n\t ", "日本 🎉"]:
        assert before(text).input_ids == after(text).input_ids
        assert after.decode(after(text).input_ids) == text
    chat = [{"role": "user", "content": "Hi"}]
    assert before.apply_chat_template(chat, tokenize=False) == after.apply_chat_template(chat, tokenize=False)
    assert (before.bos_token, before.eos_token, before.pad_token) == (after.bos_token, after.eos_token, after.pad_token)


def test_quantized_tensors_are_restored_as_transformers_restores_them(tiny_llama: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    transformers_to_gguf(tiny_llama, tmp_path / "f32.gguf", dtype="f32")
    _changed_gguf(tmp_path / "f32.gguf", tmp_path / "q8.gguf", {}, quantize=True)
    gguf_to_transformers(tmp_path / "q8.gguf", tmp_path / "ours", dtype="float32")
    ours = load_file(tmp_path / "ours" / "model.safetensors")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="q8.gguf", dtype=torch.float32).state_dict()
    assert set(theirs) - set(ours) == {"lm_head.weight"}
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_two_conversions_give_the_same_bytes_wherever_they_lie(tiny_llama: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(tiny_llama, tmp_path / "elsewhere" / "model")
    transformers_to_gguf(tiny_llama, tmp_path / "1.gguf")
    transformers_to_gguf(moved, tmp_path / "elsewhere" / "2.gguf")
    assert (tmp_path / "1.gguf").read_bytes() == (tmp_path / "elsewhere" / "2.gguf").read_bytes()
    first = gguf_to_transformers(tmp_path / "1.gguf", tmp_path / "1")
    gguf_to_transformers(tmp_path / "elsewhere" / "2.gguf", tmp_path / "elsewhere" / "2")
    assert sorted(path.name for path in (tmp_path / "1").iterdir()) == list(first.files)
    for name in first.files:
        content = (tmp_path / "1" / name).read_bytes()
        assert content == (tmp_path / "elsewhere" / "2" / name).read_bytes()
        assert str(tmp_path).encode() not in content


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model_type": "gpt2"}, "supported: llama, mistral, qwen2, qwen3"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "yarn"),
        ({"rope_parameters": {"rope_type": "linear"}}, "factor"),
        ({"rope_parameters": ["linear"]}, "object"),
        ({"rope_parameters": {"rope_type": "llama3", "factor": 4.0}}, "original_max_position_embeddings"),
        ({"num_hidden_layers": "two"}, "num_hidden_layers"),
        ({"vocab_size": 10}, r"is \(10, 64\)"),
    ],
)
def test_a_model_without_a_faithful_gguf_form_is_refused(
    tiny_llama: Path, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    model = shutil.copytree(tiny_llama, tmp_path / "model")
    config = json.loads((model / "config.json").read_text()) | change
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(FormatInvalid, match=reason):
        transformers_to_gguf(model, tmp_path / "model.gguf")
    assert not (tmp_path / "model.gguf").exists()


def _with_tokenizer(source: Path, out: Path, **change: Any) -> Path:
    folder = shutil.copytree(source, out)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"] |= change.pop("model", {})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer | change))
    return folder


@pytest.mark.parametrize("pre", PRE_TOKENIZERS)
def test_llama_cpp_splits_text_as_every_known_pre_tokenizer_does(tiny_llama: Path, tmp_path: Path, pre: str) -> None:
    model = _with_tokenizer(
        tiny_llama, tmp_path / "model", pre_tokenizer=PRE_TOKENIZERS[pre], model={"ignore_merges": pre == "llama-bpe"}
    )
    transformers_to_gguf(model, tmp_path / "model.gguf")
    assert read_gguf_header(tmp_path / "model.gguf").values["tokenizer.ggml.pre"] == pre
    prove_parity(model, tmp_path / "model.gguf")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pre_tokenizer": {"type": "Whitespace"}}, "Whitespace"),
        ({"pre_tokenizer": None}, "null"),
        ({"normalizer": {"type": "Lowercase"}}, "Lowercase"),
        ({"model": {"type": "WordPiece"}}, "WordPiece"),
        ({"model": {"ignore_merges": True}}, "ignore_merges"),
    ],
)
def test_a_tokenizer_that_llama_cpp_would_split_otherwise_is_refused(
    tiny_llama: Path, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(FormatInvalid, match=reason):
        transformers_to_gguf(_with_tokenizer(tiny_llama, tmp_path / "model", **change), tmp_path / "model.gguf")


ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ADAPTERS: dict[str, dict[str, Any]] = {
    "all linear layers": {"target_modules": ALL},
    "query and key": {"target_modules": ["q_proj", "k_proj"]},
    "value and down": {"target_modules": ["v_proj", "down_proj"]},
    "the upper layer": {"target_modules": ALL, "layers_to_transform": [1]},
    "rank-stabilized": {"target_modules": ALL, "use_rslora": True},
    "several ranks": {"target_modules": ALL, "rank_pattern": {"q_proj": 2, "down_proj": 8}},
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_llama_cpp_applies_the_adapter_as_peft_does(
    tiny_llama: Path, make_adapter: MakeAdapter, tmp_path: Path, name: str
) -> None:
    adapter = make_adapter(tiny_llama, **ADAPTERS[name])
    transformers_to_gguf(tiny_llama, tmp_path / "model.gguf", "f32")
    adapter_to_gguf(adapter, tiny_llama, tmp_path / "adapter.gguf", "f32")
    report = prove_parity(tiny_llama, tmp_path / "model.gguf", adapter, tmp_path / "adapter.gguf")
    assert report.same_top_token == report.positions
    assert report.max_difference < 0.001
    with pytest.raises(FormatInvalid, match="differ"):
        prove_parity(tiny_llama, tmp_path / "model.gguf", adapter)


@pytest.mark.parametrize("family", ["mistral", "qwen2", "qwen3"])
def test_adapters_of_every_family_are_applied_as_peft_does(
    make_model: MakeModel, make_adapter: MakeAdapter, tmp_path: Path, family: str
) -> None:
    model = make_model(family)
    adapter = make_adapter(model, target_modules=ALL)
    transformers_to_gguf(model, tmp_path / "model.gguf", "f32")
    adapter_to_gguf(adapter, model, tmp_path / "adapter.gguf", "f32")
    report = prove_parity(model, tmp_path / "model.gguf", adapter, tmp_path / "adapter.gguf")
    assert report.max_difference < 0.001


def test_an_adapter_file_holds_the_pairs_and_alpha(tiny_llama: Path, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_llama, target_modules=["q_proj"], layers_to_transform=[1])
    adapter_to_gguf(adapter, tiny_llama, tmp_path / "adapter.gguf")
    header = read_gguf_header(tmp_path / "adapter.gguf")
    assert {name: tensor.shape for name, tensor in header.tensors.items()} == {
        "blk.1.attn_q.weight.lora_a": (4, 64),
        "blk.1.attn_q.weight.lora_b": (64, 4),
    }
    assert header.values["adapter.lora.alpha"] == 8.0
    assert header.values["general.type"] == "adapter"


def test_tensors_that_do_not_fit_the_configuration_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    tensors = load_file(tiny_llama / "model.safetensors")
    key = "model.layers.1.mlp.up_proj.weight"
    for change, reason in (
        ({key: None}, f"lack '{key}'"),
        ({key: torch.zeros(128, 32)}, r"is \(128, 64\), not \(128, 32\)"),
        ({"model.layers.2.mlp.up_proj.weight": torch.zeros(128, 64)}, "has no tensor"),
    ):
        model = shutil.copytree(tiny_llama, tmp_path / "model", dirs_exist_ok=True)
        changed = {name: tensor for name, tensor in (tensors | change).items() if tensor is not None}
        write_safetensors(model / "model.safetensors", changed)
        with pytest.raises(FormatInvalid, match=reason):
            transformers_to_gguf(model, tmp_path / "model.gguf")


@pytest.mark.parametrize(
    ("change", "without", "reason"),
    [
        ({"general.architecture": "gpt2"}, None, "supported: llama, qwen2, qwen3"),
        ({"llama.attention.head_count": 3}, None, r"q_proj|is \("),
        ({"llama.block_count": 2**31}, None, "block_count"),
        ({"llama.block_count": 10**6}, None, "num_hidden_layers"),
        ({"tokenizer.ggml.pre": "unheard-of"}, None, "unheard-of"),
        ({"tokenizer.ggml.model": "llama"}, None, "'llama'"),
        ({"tokenizer.ggml.merges": ["a b", "x"]}, None, "hold together"),
        ({"tokenizer.ggml.eos_token_id": 10**6}, None, "hold together"),
        ({"tokenizer.ggml.tokens": ["a"] * 364}, None, "hold together"),
        ({}, "token_embd.weight", "no token embeddings"),
        ({}, "blk.1.ffn_up.weight", "lack"),
    ],
)
def test_a_gguf_file_that_does_not_hold_together_is_refused(
    tiny_llama: Path, tmp_path: Path, change: dict[str, Any], without: str | None, reason: str
) -> None:
    transformers_to_gguf(tiny_llama, tmp_path / "model.gguf", "f32")
    changed = _changed_gguf(tmp_path / "model.gguf", tmp_path / "changed.gguf", change, without)
    with pytest.raises(FormatInvalid, match=reason):
        gguf_to_transformers(changed, tmp_path / "out")
    assert not (tmp_path / "out").exists()
