"""Shapes are told apart by rule, over all rows."""

from __future__ import annotations

from typing import Any

import pytest

from tunery.datasets.quarantine import RowFault
from tunery.datasets.shapes import Shaper, content_of, input_of, output_of, texts_of
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
        ({"messages": [{"role": "robot", "content": "x"}]}, "message 1 has a role that is none of"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "message 1 has a role"),
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


@pytest.mark.parametrize("columns", [{"completion": "a"}, {"messages": "a", "text": "b"}, {"label": "a"}, {"text": []}])
def test_declared_columns_that_make_up_no_shape_are_refused(columns: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="exactly one of"):
        Shaper(columns)


def test_what_is_asked_and_what_is_answered() -> None:
    chat = {"messages": [{"role": "system", "content": "S"}, *CHAT["messages"]]}
    assert (input_of("chat", chat), output_of("chat", chat)) == ("S\nHi", "Hello")
    assert (input_of("text", {"text": "t"}), output_of("text", {"text": "t"})) == ("t", "")
    assert texts_of(CHAT["messages"]) == ["Hi", "Hello"]


CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Bonn"}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def test_a_chat_with_tools_comes_into_one_form() -> None:
    """DAT-01: arguments and definitions written as JSON text, calls without their wrapping, nulls of a table."""
    row = {
        "conversations": [
            {"from": "human", "value": "Rain in Bonn?", "name": None},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"name": "weather", "arguments": '{"city": "Bonn"}'}],
            },
            {"role": "observation", "content": {"rain": False}, "tool_call_id": "7"},
            {"role": "assistant", "content": [{"type": "text", "text": "No."}], "tool_calls": []},
        ],
        "tools": '[{"name": "weather", "parameters": {"type": "object"}}]',
    }
    shaped = Shaper().shape(row, 1)
    assert shaped == {
        "messages": [
            {"role": "user", "content": "Rain in Bonn?"},
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
            {"role": "tool", "content": '{"rain":false}', "tool_call_id": "7"},
            {"role": "assistant", "content": "No."},
        ],
        "tools": [TOOL],
    }
    assert Shaper().shape(shaped, 1) == shaped
    assert output_of("chat", {"messages": shaped["messages"][:2]}).endswith('"arguments":{"city":"Bonn"}}}]')
    assert content_of("chat", shaped) == [shaped["messages"], [TOOL]]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"role": "assistant", "content": "", "tool_calls": [{"arguments": {}}]}, "no function with a name"),
        ({"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{x"}]}, "JSON text in it is broken"),
        ({"role": "assistant", "tool_calls": [{"name": "f", "arguments": [1]}]}, "no JSON object"),
        ({"role": "assistant", "tool_calls": {"name": "f"}}, "tool_calls that are no list"),
        ({"role": "assistant", "content": [{"type": "image", "url": "x"}]}, "a part that is no text"),
    ],
)
def test_a_message_that_nothing_can_be_learned_from_is_a_fault(message: dict[str, Any], reason: str) -> None:
    with pytest.raises(RowFault, match=reason):
        Shaper().shape({"messages": [CHAT["messages"][0], message]}, 1)
    with pytest.raises(RowFault, match="no function with a name"):
        Shaper().shape(CHAT | {"tools": [{"description": "?"}]}, 1)


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("row", "shaped"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "b", "score": 1}, ["q", "a", "b"]),
        ({"question": "q", "chosen": "a", "rejected": "b"}, ["q", "a", "b"]),
        (
            {"prompt": "q", "chosen": [said("assistant", "a")], "rejected": [said("assistant", "b")]},
            [[said("user", "q")], [said("assistant", "a")], [said("assistant", "b")]],
        ),
        (
            {"prompt": [said("user", "q")], "chosen": "a", "rejected": "b"},
            [[said("user", "q")], [said("assistant", "a")], [said("assistant", "b")]],
        ),
        (
            {
                "prompt": "q",
                "chosen": [said("user", "q"), said("assistant", "a")],
                "rejected": [said("user", "q"), said("assistant", "b")],
            },
            [[said("user", "q")], [said("assistant", "a")], [said("assistant", "b")]],
        ),
        (
            {
                "chosen": [said("system", "s"), said("user", "q"), said("assistant", "a")],
                "rejected": [said("system", "s"), said("user", "q"), said("assistant", "b")],
            },
            [[said("system", "s"), said("user", "q")], [said("assistant", "a")], [said("assistant", "b")]],
        ),
    ],
)
def test_preferences_are_three_texts_or_three_lists_of_messages(row: dict[str, Any], shaped: list[Any]) -> None:
    """DAT-01."""
    shaper = Shaper()
    found = shaper.shape(row, 1)
    assert [found[column] for column in ("prompt", "chosen", "rejected")] == shaped
    assert shaper.finish().shape == "preference"
    assert found.get("score") == row.get("score")
    assert (input_of("preference", found).split("\n")[-1], output_of("preference", found)) == ("q", "a")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "a"}, "are equal"),
        ({"prompt": "q", "chosen": "a", "rejected": " "}, "the rejected is empty"),
        ({"chosen": "a", "rejected": "b"}, "no prompt beside"),
        ({"chosen": [said("assistant", "a")], "rejected": [said("assistant", "b")]}, "there is no prompt that"),
        ({"prompt": "q", "chosen": [said("user", "a")], "rejected": "b"}, "last message of chosen is not"),
        (
            {
                "prompt": "another",
                "chosen": [said("user", "q"), said("assistant", "a")],
                "rejected": [said("user", "q"), said("assistant", "b")],
            },
            "do not begin with the prompt",
        ),
    ],
)
def test_a_preference_that_prefers_nothing_is_a_fault(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(RowFault, match=reason):
        Shaper().shape(row, 1)


def test_classification_and_prompts_are_shapes_of_their_own() -> None:
    """DAT-01."""
    labels, prompts = Shaper(), Shaper()
    labelled = labels.shape({"sentence": "Buy now", "label": 1}, 1)
    assert (labelled, labels.finish().shape) == ({"text": "Buy now", "label": "1"}, "classification")
    assert (input_of("classification", labelled), output_of("classification", labelled)) == ("Buy now", "1")
    prompt = prompts.shape({"instruction": "Say hi"}, 1)
    assert (prompt, prompts.finish().shape) == ({"prompt": "Say hi"}, "prompt")
    assert (input_of("prompt", prompt), output_of("prompt", prompt)) == ("Say hi", "")


def test_a_row_that_lacks_what_the_others_have_is_set_aside_and_does_not_mix_the_file() -> None:
    shaper = Shaper()
    shaper.shape({"prompt": "q", "completion": "a"}, 1)
    with pytest.raises(RowFault, match="lack one that other rows have"):
        shaper.shape({"prompt": "q"}, 2)
    assert not shaper.mixed


@pytest.mark.parametrize(
    ("columns", "row", "shape"),
    [
        ({"messages": "talk", "tools": "functions"}, {"talk": CHAT["messages"], "functions": [TOOL]}, "chat"),
        ({"messages": "talk", "tools": "functions"}, {"talk": CHAT["messages"]}, "chat"),
        ({"prompt": "p", "chosen": "good", "rejected": "bad"}, {"p": "q", "good": "a", "bad": "b"}, "preference"),
        ({"prompt": ["a", "b"]}, {"a": "x", "b": "y"}, "prompt"),
        ({"text": "review", "label": "stars"}, {"review": "fine", "stars": 5}, "classification"),
    ],
)
def test_every_shape_can_be_declared(columns: dict[str, Any], row: dict[str, Any], shape: str) -> None:
    """DAT-10."""
    shaper = Shaper(columns)
    shaper.shape(row, 1)
    assert (shaper.finish().shape, shaper.finish().as_columns()) == (shape, columns)
