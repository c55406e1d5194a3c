"""What a model sees for a row."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tunery.errors import InvalidInput
from tunery.evaluation.prompts import PromptSpec, build_prompt, choose_shots, reference_of, stop_texts
from tunery.evaluation.schemas import EvaluationSection

CHAT = {
    "row_id": "c1",
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "2+2?"},
        {"role": "assistant", "content": "4"},
    ],
}
PAIR = {"row_id": "p1", "prompt": "350 Fifth Ave", "completion": ' {"n": "350"}'}
TEXT = {"row_id": "t1", "text": "Once upon a time"}
TRAIN = [{"row_id": f"r{i}", "prompt": f"in {i}", "completion": f"out {i}"} for i in range(20)]


def test_a_chat_prompt_is_all_turns_before_the_reference() -> None:
    prompt = build_prompt(CHAT, PromptSpec())
    assert prompt.content == CHAT["messages"][:2]
    assert prompt.reference == "4"
    assert prompt.row_id == "c1"


def test_an_instruction_stands_in_place_of_the_rows_system_message() -> None:
    prompt = build_prompt(CHAT, PromptSpec(instruction="Be long."))
    assert prompt.content == [{"role": "system", "content": "Be long."}, {"role": "user", "content": "2+2?"}]


def test_examples_of_a_chat_stand_between_system_message_and_question() -> None:
    prompt = build_prompt(CHAT, PromptSpec(shots=1), [TRAIN[3]])
    assert [turn["content"] for turn in prompt.content] == ["Be short.", "in 3", "out 3", "2+2?"]
    assert [turn["role"] for turn in prompt.content] == ["system", "user", "assistant", "user"]


def test_a_completion_without_examples_is_the_rows_own_prompt() -> None:
    assert build_prompt(PAIR, PromptSpec(style="completion")).content == "350 Fifth Ave"


def test_a_completion_with_examples_is_blocks_with_the_last_left_open() -> None:
    spec = PromptSpec(style="completion", shots=2, instruction="Make JSON.")
    shots = [{"row_id": "a", "prompt": "1 Elm St", "completion": ' {"n": "1"}'}, CHAT]
    assert build_prompt(PAIR, spec, shots).content == (
        'Make JSON.\n\nInput: 1 Elm St\nOutput: {"n": "1"}\n\nInput: 2+2?\nOutput: 4\n\nInput: 350 Fifth Ave\nOutput:'
    )


@pytest.mark.parametrize(
    "tools",
    [
        {"messages": [*CHAT["messages"][:2], {"role": "assistant", "content": "", "tool_calls": [{}]}]},
        {"tools": [{"type": "function", "function": {"name": "add"}}]},
    ],
)
def test_a_chat_with_tools_is_not_measured_without_them(tools: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="row c1 uses tools"):
        build_prompt(CHAT | tools, PromptSpec())


def test_plain_text_is_its_own_reference() -> None:
    prompt = build_prompt(TEXT, PromptSpec(style="completion"))
    assert (prompt.content, prompt.reference) == ("", "Once upon a time")
    with pytest.raises(InvalidInput, match="row t1 is plain text"):
        build_prompt(TEXT, PromptSpec())


@pytest.mark.parametrize(
    "row",
    [
        {"row_id": "x", "messages": [{"role": "user", "content": "hello"}]},
        {"row_id": "x", "messages": [{"role": "assistant", "content": "hello"}]},
        {"row_id": "x", "messages": []},
        {"row_id": "x", "question": "?"},
        {"row_id": "x", "prompt": "?"},
    ],
)
def test_a_row_without_question_or_reference_is_named(row: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="row x "):
        reference_of(row)


def test_the_same_examples_are_drawn_whatever_the_order_of_rows() -> None:
    spec = PromptSpec(style="completion", shots=5, seed=3)
    drawn = choose_shots(TRAIN, spec, ["held-out"])
    assert drawn == choose_shots(TRAIN[::-1], spec, ["held-out"])
    assert len({row["row_id"] for row in drawn}) == 5
    assert drawn != choose_shots(TRAIN, spec.model_copy(update={"seed": 4}), ["held-out"])


def test_examples_never_come_from_the_measured_rows() -> None:
    with pytest.raises(InvalidInput, match="2 of the measured rows stand in the train split"):
        choose_shots(TRAIN, PromptSpec(shots=1), ["r1", "r2", "other"])


def test_more_examples_than_train_rows_are_refused() -> None:
    with pytest.raises(InvalidInput, match="21 examples are wanted, but the train split has 20 rows"):
        choose_shots(TRAIN, PromptSpec(shots=21), [])


def test_examples_of_one_line_end_the_answer_at_the_end_of_the_line() -> None:
    spec = PromptSpec(style="completion", shots=1)
    assert stop_texts(spec, [TRAIN[0]]) == ["\n"]
    assert stop_texts(spec, [{"row_id": "m", "prompt": "p", "completion": "two\nlines"}]) == ["\n\n"]
    assert stop_texts(spec.model_copy(update={"stop": ("END",)}), [TRAIN[0]]) == ["END"]
    assert stop_texts(PromptSpec(shots=1), [TRAIN[0]]) == []
    assert stop_texts(PromptSpec(style="completion")) == []


def test_the_template_of_the_requirements_is_a_valid_section() -> None:
    section = EvaluationSection.model_validate(
        {"metrics": ["accuracy", "f1_score", "perplexity"], "save_best_model": True}
    )
    assert section.prompts.base == PromptSpec()


def test_every_fault_of_the_metrics_is_named_with_the_nearest_valid_name() -> None:
    with pytest.raises(ValidationError) as caught:
        EvaluationSection.model_validate({"metrics": ["acuracy", "exact-match"], "max_row": 3})
    text = str(caught.value)
    assert "'acuracy'; did you mean 'accuracy'?" in text
    assert "'exact-match'; did you mean 'exact_match'?" in text
    assert "max_row" in text


def test_a_metric_named_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="named twice"):
        EvaluationSection(metrics=["accuracy", "accuracy"])
