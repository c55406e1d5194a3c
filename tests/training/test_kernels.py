from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tunery.training.kernels import causal_attention, linear_cross_entropy, lora_linear, rms_norm


def numbers(*shape: int, learn: bool = True) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=learn)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def same_gradients(ours: Tensor, theirs: Tensor, inputs: list[Tensor]) -> None:
    upstream = torch.randn_like(theirs)
    torch.testing.assert_close(ours, theirs)
    found = torch.autograd.grad(ours, inputs, upstream)
    wanted = torch.autograd.grad(theirs, inputs, upstream)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("with_bias", [False, True])
def test_the_lora_layer_is_base_plus_scaled_low_rank_change(with_bias: bool) -> None:
    x, a, b = numbers(2, 5, 6), numbers(3, 6), numbers(4, 3)
    weight, bias = numbers(4, 6, learn=False), numbers(4, learn=False) if with_bias else None
    theirs = F.linear(x, weight, bias) + 2.5 * F.linear(F.linear(x, a), b)
    same_gradients(lora_linear(x, weight, bias, a, b, 2.5, 0.0), theirs, [x, a, b])


def test_dropout_of_the_lora_layer_only_touches_the_adapters_input() -> None:
    x, a, b = numbers(2, 50, 6), numbers(3, 6), numbers(4, 3)
    weight = numbers(4, 6, learn=False)
    torch.manual_seed(5)
    ours = lora_linear(x, weight, None, a, b, 2.5, 0.3)
    torch.manual_seed(5)
    theirs = F.linear(x, weight) + 2.5 * F.linear(F.linear(F.dropout(x, 0.3), a), b)
    same_gradients(ours, theirs, [x, a, b])


def test_the_first_layer_above_frozen_ones_needs_no_gradient_for_its_input() -> None:
    x, a, b = numbers(2, 6, learn=False), numbers(3, 6), numbers(4, 3)
    weight = numbers(4, 6, learn=False)
    same_gradients(
        lora_linear(x, weight, None, a, b, 1.0, 0.0), F.linear(x, weight) + F.linear(F.linear(x, a), b), [a, b]
    )


def test_the_norm_and_its_gradients_are_those_of_the_formula() -> None:
    x, weight = numbers(3, 7, 16).detach().float().requires_grad_(), numbers(16).detach().float().requires_grad_()
    theirs = weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5))
    same_gradients(rms_norm(x, weight, 1e-5), theirs, [x, weight])


@pytest.mark.parametrize("key_heads", [1, 2, 6])
def test_attention_is_that_of_torch_also_where_heads_share_keys(key_heads: int) -> None:
    query, key, value = numbers(2, 6, 9, 8), numbers(2, key_heads, 9, 8), numbers(2, key_heads, 9, 8)
    theirs = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=0.3, enable_gqa=True)
    same_gradients(causal_attention(query, key, value, 0.3), theirs, [query, key, value])


def test_the_loss_is_the_summed_cross_entropy_and_so_are_its_gradients() -> None:
    # 300 rows are three parts of at most 128.
    hidden, weight = numbers(300, 8).detach().float().requires_grad_(), numbers(40, 8).detach().float().requires_grad_()
    labels = torch.randint(0, 40, (300,))
    theirs = F.cross_entropy(F.linear(hidden, weight), labels, reduction="sum")
    ours = linear_cross_entropy(hidden, weight, labels, torch.float32)
    torch.testing.assert_close(ours, theirs)
    found = torch.autograd.grad(ours / 300, [hidden, weight])
    wanted = torch.autograd.grad(theirs / 300, [hidden, weight])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_the_loss_of_a_token_that_is_nearly_impossible_stays_finite() -> None:
    hidden, weight = torch.tensor([[200.0]]), torch.tensor([[1.0], [0.0]])
    # softmax([200, 0]): the second has the probability exp(-200), which float32 cannot hold; its loss is 200.
    assert linear_cross_entropy(hidden, weight, torch.tensor([1]), torch.float32).item() == pytest.approx(200.0)
