"""What every training method keeps to, the built-in ones and the example of ADDING.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
import torch

from tests.training.tiny import make_model
from tunery.datasets.shapes import SHAPES
from tunery.errors import InvalidInput
from tunery.training.devices import Machine
from tunery.training.model import Policy, load_policy
from tunery.training.ports import METHODS, Method
from tunery.training.schemas import LoraAdapter
from tunery.training.text import ChatText

ROWS = [
    {"row_id": "chat", "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]},
    {"row_id": "pair", "prompt": "a much longer question", "completion": "yes"},
    {"row_id": "text", "text": "once upon a time"},
]


def example_of_the_guide() -> Method:
    """Run the first code block of ADDING.md and return what it registers."""
    guide = (files("tunery.training.methods") / "ADDING.md").read_text(encoding="utf-8")
    found = re.search(r"```python\n(.*?)```", guide, re.S)
    assert found
    exec(compile(found[1], "ADDING.md", "exec"), {})
    return METHODS.get("unlikely")


@pytest.fixture(params=[*METHODS.names(), "ADDING.md"])
def method(request: pytest.FixtureRequest) -> Iterator[Method]:
    if request.param != "ADDING.md":
        yield METHODS.get(request.param)
        return
    yield example_of_the_guide()
    METHODS._found.pop("unlikely")


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    folder = make_model(tmp_path_factory.mktemp("model"))
    machine = Machine(torch.device("cpu"), torch.float32, 1)
    policy = load_policy(folder, machine, LoraAdapter(r=2))
    with torch.no_grad():
        for weight in policy.trainable.values():
            weight.add_(torch.randn_like(weight) * 0.05)
    return policy


@pytest.fixture(scope="module")
def text(policy: Policy) -> ChatText:
    from tests.training.tiny import make_tokenizer

    return ChatText(make_tokenizer())


def test_it_says_which_shapes_it_learns_from(method: Method) -> None:
    assert method.shapes
    assert method.shapes <= SHAPES.keys()


def encoded(method: Method, text: ChatText) -> list[Any]:
    examples = []
    for row in ROWS:
        try:
            examples.append(method.encode(row, text))
        except InvalidInput:
            continue
    return examples


def test_examples_say_their_row_their_length_and_their_weight(method: Method, text: ChatText) -> None:
    assert method.summary
    examples = encoded(method, text)
    assert examples
    for example in examples:
        assert example.row_id in {row["row_id"] for row in ROWS}
        assert example.length > 0
        assert example.weight > 0


def test_a_row_of_no_known_shape_is_refused(method: Method, text: ChatText) -> None:
    with pytest.raises(InvalidInput):
        method.encode({"row_id": "none", "other": 1}, text)


def test_the_loss_does_not_depend_on_how_rows_are_batched(method: Method, policy: Policy, text: ChatText) -> None:
    examples = encoded(method, text)
    together = method.loss(policy, examples)
    alone = [method.loss(policy, [example]) for example in examples]
    assert together.weight == sum(part.weight for part in alone) == sum(example.weight for example in examples)
    torch.testing.assert_close(together.total, sum(part.total for part in alone), rtol=1e-4, atol=1e-4)


def test_gradients_reach_every_trainable_weight(method: Method, policy: Policy, text: ChatText) -> None:
    total = method.loss(policy, encoded(method, text)).total
    found = torch.autograd.grad(total, list(policy.trainable.values()))
    assert all(gradient.abs().sum() > 0 for gradient in found)
    assert all(torch.isfinite(gradient).all() for gradient in found)


def test_no_random_number_is_drawn_while_the_model_is_not_training(
    method: Method, policy: Policy, text: ChatText
) -> None:
    policy.model.eval()
    before = torch.get_rng_state()
    method.loss(policy, encoded(method, text))
    policy.model.train()
    assert torch.equal(torch.get_rng_state(), before)
