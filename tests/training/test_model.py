from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.tiny import make_model
from tunery.errors import FormatInvalid, InvalidInput
from tunery.training.devices import Machine, choose_machine, physical_cores
from tunery.training.flops import ModelShape, Work, forward_flops, training_flops
from tunery.training.model import Policy, load_policy
from tunery.training.schemas import LoraAdapter

CPU = Machine(torch.device("cpu"), torch.float32, 1)
SEQUENCES = [[5, 6, 7, 8, 9, 10, 11], [20, 21, 22], [30, 31, 32, 33, 34]]


def own_loss(model: Any, sequences: list[list[int]]) -> torch.Tensor:
    """Summed loss over every token but the first, one unpadded sequence at a time, through the model's own code."""
    total = torch.zeros(())
    for sequence in sequences:
        ids = torch.tensor([sequence])
        total = total + model(input_ids=ids, labels=ids).loss * (len(sequence) - 1)
    return total


def our_loss(policy: Policy, sequences: list[list[int]]) -> torch.Tensor:
    longest = max(map(len, sequences))
    ids = torch.tensor([sequence + [0] * (longest - len(sequence)) for sequence in sequences])
    places = [row * longest + place for row, sequence in enumerate(sequences) for place in range(len(sequence) - 1)]
    labels = [token for sequence in sequences for token in sequence[1:]]
    return policy.token_loss(ids, torch.tensor(places), torch.tensor(labels))


def gradients(policy: Policy, loss: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(policy.trainable.values())))


@pytest.mark.parametrize("lora", [None, LoraAdapter(r=4), LoraAdapter(r=4, layers="top:1")])
def test_padding_without_a_mask_changes_neither_loss_nor_gradients(tiny_model: Path, lora: LoraAdapter | None) -> None:
    policy = load_policy(tiny_model, CPU, lora)
    with torch.no_grad():
        for weight in policy.trainable.values():
            weight.add_(torch.randn_like(weight) * 0.05)  # B begins as zeros, which would hide A's gradient
    ours, theirs = our_loss(policy, SEQUENCES), own_loss(policy.causal, SEQUENCES)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    for one, other in zip(gradients(policy, ours), gradients(policy, theirs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_bfloat16_comes_close_to_float32(tiny_model: Path) -> None:
    exact = load_policy(tiny_model, CPU, LoraAdapter(r=4))
    narrow = load_policy(tiny_model, Machine(torch.device("cpu"), torch.bfloat16, 1), LoraAdapter(r=4))
    assert {weight.dtype for weight in narrow.trainable.values()} == {torch.float32}
    assert our_loss(narrow, SEQUENCES).item() == pytest.approx(our_loss(exact, SEQUENCES).item(), rel=0.01)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("Gemma2", {"final_logit_softcapping": 0.5, "head_dim": 8, "sliding_window": 4}),
        ("Granite", {"logits_scaling": 4.0}),
        ("Qwen2", {}),
        ("GPTNeoX", {}),
    ],
)
def test_models_of_other_families_give_their_own_loss(tmp_path: Path, kind: str, changes: dict[str, Any]) -> None:
    import transformers

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = getattr(transformers, f"{kind}Config")(
        **sizes, num_key_value_heads=2, vocab_size=264, pad_token_id=0, bos_token_id=1, eos_token_id=2, **changes
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    model.save_pretrained(tmp_path)
    policy = load_policy(tmp_path, CPU, LoraAdapter(r=2))
    torch.testing.assert_close(our_loss(policy, SEQUENCES), own_loss(model, SEQUENCES), rtol=1e-3, atol=1e-3)


def test_only_the_blocks_asked_for_are_adapted(tiny_model: Path) -> None:
    policy = load_policy(tiny_model, CPU, LoraAdapter(r=2, layers="top:2"))
    blocks = {int(name.split(".layers.")[1].split(".")[0]) for name in policy.trainable}
    assert blocks == {1, 2}
    assert all(".lora_" in name for name in policy.trainable)
    with pytest.raises(InvalidInput, match="no block 7; the base model has 0 to 2"):
        load_policy(tiny_model, CPU, LoraAdapter(layers=[7]))


def test_a_layer_that_the_model_lacks_is_named_with_the_nearest(tiny_model: Path) -> None:
    with pytest.raises(InvalidInput, match="no layer 'q_prj'; did you mean 'q_proj'"):
        load_policy(tiny_model, CPU, LoraAdapter(target_modules=["q_prj"]))


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatInvalid, match="is no model"):
        load_policy(tmp_path, CPU, None)


def test_weights_in_a_pickle_are_refused(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    state = torch.nn.Linear(2, 2).state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(FormatInvalid, match="cannot be loaded"):
        load_policy(folder, CPU, None)


def test_operations_are_counted_from_the_shapes(tiny_model: Path) -> None:
    # A block: q and o 32x32, k and v 32x16, three MLP matrices 32x64: 2*1024 + 2*512 + 3*2048 = 9216 parameters.
    full = ModelShape.of(load_policy(tiny_model, CPU, None).model)
    assert (full.body, full.head, full.adapter, full.attention) == (3 * 9216, 264 * 32, 0, 3 * 32)
    work = Work(tokens=10, pairs=60, learned=4)
    forward = 2 * 27648 * 10 + 2 * 8448 * 4 + 4 * 96 * 60
    assert forward_flops(full, work) == forward
    # Backward: the same again for activations and for weights; attention twice.
    assert training_flops(full, work) == forward + 2 * (2 * 27648 * 10 + 2 * 8448 * 4) + 8 * 96 * 60
    # Rank 2 on the top block: 2 * (32+32) twice, 2 * (32+16) twice, 2 * (32+64) three times = 1024 parameters.
    top = ModelShape.of(load_policy(tiny_model, CPU, LoraAdapter(r=2, layers="top:1")).model)
    assert (top.body, top.above, top.adapter, top.attention_above) == (27648, 9216, 1024, 32)
    assert training_flops(top, work) == (
        forward + 2 * 1024 * 10 + (2 * (9216 + 1024) * 10 + 2 * 8448 * 4) + 8 * 32 * 60 + 2 * 1024 * 10
    )


def test_a_device_that_is_not_there_is_refused_and_auto_finds_one() -> None:
    machine = choose_machine("auto", "float32", None)
    assert machine.threads == physical_cores()
    assert machine.describe()["cpu_model"]
    if not torch.backends.mps.is_available():
        with pytest.raises(Exception, match="torch finds none"):
            choose_machine("mps", "auto", None)
