"""A shape that a method does not learn from is refused, with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.training.tiny import make_tokenizer
from tunery.errors import InvalidInput
from tunery.training.ports import METHODS, check_shape
from tunery.training.text import ChatText


@pytest.mark.parametrize("shape", ["preference", "prompt", "classification"])
def test_sft_refuses_a_dataset_that_it_does_not_learn_from(shape: str) -> None:
    with pytest.raises(InvalidInput, match=rf"shape {shape}, .* sft does not learn; it takes chat, completion, text"):
        check_shape("sft", shape)


def test_sft_takes_its_own_shapes() -> None:
    for shape in ("chat", "completion", "text"):
        check_shape("sft", shape)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q"},
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "", "tool_calls": [{}]}]},
        {
            "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
            "tools": [{"type": "function", "function": {"name": "f"}}],
        },
    ],
)
def test_a_row_of_another_shape_is_an_error_that_says_so(row: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="uses tools|has neither"):
        METHODS.get("sft").encode({"row_id": "1", **row}, ChatText(make_tokenizer()))
