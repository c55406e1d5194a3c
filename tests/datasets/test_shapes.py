"""Shapes are told apart by rule, over all rows."""

from __future__ import annotations

from typing import Any

import pytest

from tunery.datasets.quarantine import RowFault
from tunery.datasets.shapes import Shaper, input_of, output_of, texts_of
from tunery.errors import InvalidInput

CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}


@pytest.mark.parametrize(
    ("row", "shape", "shaped"),
    [
        (CHAT, "chat", CHAT),
        (
            {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}], "id": 7},
            "chat",
            CHAT | {"id": 7},
        ),
        ({"prompt": "a", "completion": "b"}, "completion", {"prompt": "a", "completion": "b"}),
        ({"prompt": "a", "response": "b"}, "completion", {"prompt": "a", "completion": "b"}),
        (
            {"instruction": "Add", "input": "1 2", "output": "3"},
            "completion",
            {"prompt": "Add\n\n1 2", "completion": "3"},
        ),
        ({"instruction": "Add", "input": "", "output": "3"}, "completion", {"prompt": "Add", "completion": "3"}),
        ({"instruction": "Add", "output": "3"}, "completion", {"prompt": "Add", "completion": "3"}),
        (
            {"question": "a", "answer": "b", "source": "s"},
            "completion",
            {"prompt": "a", "completion": "b", "source": "s"},
        ),
        ({"input": "a", "output": "b"}, "completion", {"prompt": "a", "completion": "b"}),
        ({"text": "a"}, "text", {"text": "a"}),
        ({"prompt": "a", "completion": 3}, "completion", {"prompt": "a", "completion": "3"}),
        ({"prompt": "a", "completion": {"b": [1]}}, "completion", {"prompt": "a", "completion": '{"b":[1]}'}),
    ],
)
def test_the_known_columns_make_up_a_shape_and_others_stay(row: dict[str, Any], shape: str, shaped: object) -> None:
    shaper = Shaper()
    assert shaper.shape(row, 1) == shaped
    assert shaper.finish().shape == shape


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "a", "completion": ""}, "the completion is empty"),
        ({"prompt": "a", "completion": " \n"}, "the completion is empty"),
        ({"prompt": None, "completion": "b"}, "the prompt is empty"),
        ({"text": ""}, "the text is empty"),
        ({"a": 1, "b": 2}, r"its columns \(a, b\)"),
        ({}, r"its columns \(none\)"),
        ({"messages": []}, "not a list of messages, or has none"),
        ({"messages": "hi"}, "not a list of messages"),
        ({"messages": ["hi"]}, "message 1 is not an object"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "message 1 has the role 'robot'"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "message 1 has the role"),
        ({"messages": [{"role": "user", "content": None}]}, "message 1 has no text"),
        ({"messages": [{"role": "user", "content": "x"}]}, "the last message is the user's"),
        ({"messages": [CHAT["messages"][0], {"role": "assistant", "content": " "}]}, "message 2, the assistant's, is"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "only the assistant's"),
        ({"messages": [CHAT["messages"][0], {"role": "system", "content": "x"}]}, "system message stands after"),
    ],
)
def test_a_row_that_teaches_nothing_or_fits_no_shape_is_a_fault(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(RowFault, match=reason):
        Shaper().shape(row, 1)


def test_mixed_shapes_are_refused_with_lines_of_each() -> None:
    shaper = Shaper()
    shaper.shape({"text": "a"}, 1)
    shaper.shape({"prompt": "a", "completion": "b"}, 2)
    shaper.shape({"text": "b"}, 5)
    assert shaper.mixed
    with pytest.raises(InvalidInput, match=r"text on line 1, 5; completion on line 2"):
        shaper.finish()


def test_one_shape_under_two_sets_of_names_is_not_mixed() -> None:
    shaper = Shaper()
    for line, row in enumerate([{"question": "a", "answer": "b"}, {"prompt": "a", "completion": "b"}] * 2, start=1):
        shaper.shape(row, line)
    shaper.shape({"question": "a", "answer": "b"}, 5)
    assert shaper.finish().as_columns() == {"prompt": "question", "completion": "answer"}


def test_declared_columns_go_before_the_rules() -> None:
    shaper = Shaper({"prompt": ["title", "body"], "completion": "label"})
    row = {"title": "T", "body": "B", "label": "spam", "text": "whole"}
    assert shaper.shape(row, 1) == {"prompt": "T\n\nB", "completion": "spam", "text": "whole"}
    with pytest.raises(RowFault, match="the column 'label' is missing"):
        shaper.shape({"title": "T"}, 2)


def test_a_declared_column_does_not_hide_another_of_the_same_name() -> None:
    with pytest.raises(RowFault, match="'prompt' would be hidden by 'question'"):
        Shaper({"prompt": "question", "completion": "answer"}).shape({"question": "q", "answer": "a", "prompt": "p"}, 1)


@pytest.mark.parametrize("columns", [{"prompt": "a"}, {"messages": "a", "text": "b"}, {"label": "a"}, {"text": []}])
def test_declared_columns_that_make_up_no_shape_are_refused(columns: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="exactly one of"):
        Shaper(columns)


def test_what_is_asked_and_what_is_answered() -> None:
    chat = {"messages": [{"role": "system", "content": "S"}, *CHAT["messages"]]}
    assert (input_of("chat", chat), output_of("chat", chat)) == ("S\nHi", "Hello")
    assert (input_of("text", {"text": "t"}), output_of("text", {"text": "t"})) == ("t", "")
    assert texts_of(CHAT["messages"]) == ["Hi", "Hello"]
