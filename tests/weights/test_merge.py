from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.weights.conftest import MakeAdapter, MakeModel
from tunery.errors import FormatInvalid
from tunery.weights.adapters import read_adapter
from tunery.weights.gguf_write import adapter_to_gguf
from tunery.weights.merge import merge_adapter
from tunery.weights.safetensors import model_tensors, write_safetensors

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def _merged_by_peft(model: Path, adapter: Path) -> dict[str, torch.Tensor]:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    state: dict[str, torch.Tensor] = PeftModel.from_pretrained(base, adapter).merge_and_unload().state_dict()
    return state


@pytest.mark.parametrize(
    "config",
    [
        {"target_modules": ALL},
        {"target_modules": ["q_proj"], "layers_to_transform": [1], "lora_alpha": 3},
        {"target_modules": ALL, "use_rslora": True, "rank_pattern": {"q_proj": 2}},
        # Without a task type peft notes the model class in auto_mapping.
        {"target_modules": ALL, "task_type": None},
    ],
)
def test_merging_gives_what_peft_gives(
    make_model: MakeModel, make_adapter: MakeAdapter, tmp_path: Path, config: dict[str, Any]
) -> None:
    model = make_model("llama", dtype="float32")
    adapter = make_adapter(model, **config)
    merge_adapter(model, adapter, tmp_path / "merged")
    ours, theirs = load_file(tmp_path / "merged" / "model.safetensors"), _merged_by_peft(model, adapter)
    assert set(ours) == set(theirs)
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=1e-5)
    # The adapter does change what it names: the comparison above is not one of bases.
    before = load_file(model / "model.safetensors")
    changed = {name for name in ours if not torch.equal(ours[name], before[name])}
    assert changed == {f"{module}.weight" for module in read_adapter(adapter).pairs}


def test_a_merged_model_has_the_dtype_of_its_base_and_opens_in_transformers(
    tiny_llama: Path, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    adapter = make_adapter(tiny_llama, target_modules=ALL)
    merge_adapter(tiny_llama, adapter, tmp_path / "merged")
    exact = _merged_by_peft(tiny_llama, adapter)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert model.dtype == torch.bfloat16
    for name, tensor in model.state_dict().items():
        # One rounding to bfloat16: at most half a unit in the last of its 8 bits.
        torch.testing.assert_close(tensor.float(), exact[name], rtol=2**-8, atol=1e-6)
    assert AutoTokenizer.from_pretrained(tmp_path / "merged").chat_template
    assert not (tmp_path / "merged" / "adapter_config.json").exists()


def test_a_base_in_shards_merges_to_the_same_bytes(tiny_llama: Path, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_llama, target_modules=["v_proj"])
    sharded = shutil.copytree(tiny_llama, tmp_path / "sharded")
    tensors = load_file(sharded / "model.safetensors")
    (sharded / "model.safetensors").unlink()
    names = sorted(tensors)
    places = {name: f"model-{index % 2}.safetensors" for index, name in enumerate(names)}
    for shard in set(places.values()):
        write_safetensors(sharded / shard, {name: tensors[name] for name in names if places[name] == shard})
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    merge_adapter(tiny_llama, adapter, tmp_path / "1")
    merge_adapter(sharded, adapter, tmp_path / "2")
    assert {p.name: p.read_bytes() for p in (tmp_path / "1").iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "2").iterdir()
    }


def test_a_model_is_not_merged_onto_itself(tiny_llama: Path, make_adapter: MakeAdapter) -> None:
    adapter = make_adapter(tiny_llama, target_modules=["q_proj"])
    before = (tiny_llama / "model.safetensors").read_bytes()
    with pytest.raises(FormatInvalid, match="folder of its own"):
        merge_adapter(tiny_llama, adapter, tiny_llama)
    assert (tiny_llama / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "bias"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"alpha_pattern": {"q_proj": 4}}, "alpha_pattern"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"r": 10**9}, "r must be"),
        ({"r": True}, "r must be"),
        ({"lora_alpha": "8"}, "lora_alpha"),
        ({"lora_alpha": float("nan")}, "lora_alpha|JSON"),
        ({"auto_mapping": {"base_model_class": "os", "parent_library": "os"}}, "auto_mapping"),
    ],
)
def test_an_adapter_that_is_more_than_plain_lora_is_refused(
    tiny_llama: Path, make_adapter: MakeAdapter, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    adapter = make_adapter(tiny_llama, target_modules=["q_proj"])
    config = json.loads((adapter / "adapter_config.json").read_text()) | change
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(FormatInvalid, match=reason):
        merge_adapter(tiny_llama, adapter, tmp_path / "merged")
    with pytest.raises(FormatInvalid, match=reason):
        adapter_to_gguf(adapter, tiny_llama, tmp_path / "adapter.gguf")
    assert list(tmp_path.iterdir()) == []


def test_names_in_the_configuration_are_neither_followed_nor_matched(
    tiny_llama: Path, make_adapter: MakeAdapter
) -> None:
    adapter = make_adapter(tiny_llama, target_modules=["q_proj"])
    config = json.loads((adapter / "adapter_config.json").read_text())
    config |= {"target_modules": "(a+)+$", "base_model_name_or_path": "/etc/passwd"}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    found = read_adapter(adapter)
    assert found.base == "/etc/passwd"
    assert set(found.pairs) == {f"model.layers.{layer}.self_attn.q_proj" for layer in range(2)}


def test_an_adapter_of_another_base_is_refused(
    make_model: MakeModel, tiny_llama: Path, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    wide = make_adapter(make_model("llama", intermediate_size=256), target_modules=["up_proj"])
    with pytest.raises(FormatInvalid, match="256 x 64"):
        merge_adapter(tiny_llama, wide, tmp_path / "merged")
    deep = make_adapter(make_model("llama", num_hidden_layers=3), target_modules=["up_proj"])
    with pytest.raises(FormatInvalid, match=r"layers\.2"):
        adapter_to_gguf(deep, tiny_llama, tmp_path / "adapter.gguf")


def test_a_diverged_adapter_is_refused_by_name(tiny_llama: Path, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_llama, target_modules=["q_proj"])
    tensors = load_file(adapter / "adapter_model.safetensors")
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, adapter / "adapter_model.safetensors")
    with pytest.raises(FormatInvalid, match=r"q_proj.*NaN"):
        merge_adapter(tiny_llama, adapter, tmp_path / "merged")
    assert model_tensors(tiny_llama)
