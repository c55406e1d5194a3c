"""How the transformers engine cuts tokens into pieces of text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunery.inference.engines.transformers_server.answer import Answer

END = 2


@pytest.fixture(scope="module")
def tokenizer(tokenizer_dir: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tokenizer_dir)


def write(tokenizer: Any, tokens: list[int], stops: list[str], max_tokens: int = 100) -> tuple[Answer, list[str]]:
    pieces: list[str] = []
    answer = Answer(tokenizer, end_tokens={END}, stops=stops, max_tokens=max_tokens, send=pieces.append)
    for token in tokens:
        if answer.accept(token):
            break
    return answer, pieces


def test_a_character_of_several_tokens_is_sent_whole(tokenizer: Any) -> None:
    tokens = tokenizer("Gr")["input_ids"] + tokenizer.convert_tokens_to_ids(["Ã", "¼"]) + [END]  # the two bytes of ü
    assert write(tokenizer, tokens, [])[1] == ["Gr", "ü"]


def test_text_that_may_begin_a_stop_is_held_back_until_it_is_clear(tokenizer: Any) -> None:
    tokens = tokenizer.convert_tokens_to_ids(list("ab##c##!d"))
    answer, pieces = write(tokenizer, tokens, ["##!"])
    assert "".join(pieces) == "ab##c"
    assert pieces == ["a", "b", "##c"]
    assert answer.finish_reason == "stop"


def test_what_was_held_back_is_sent_when_the_answer_ends_otherwise(tokenizer: Any) -> None:
    tokens = tokenizer.convert_tokens_to_ids(list("ab##"))
    for ending, limit, reason in (([END], 100, "stop"), ([], 4, "length")):
        answer, pieces = write(tokenizer, tokens + ending, ["##!"], limit)
        assert "".join(pieces) == "ab##"
        assert answer.finish_reason == reason


def test_the_first_of_several_stops_ends_the_answer(tokenizer: Any) -> None:
    tokens = tokenizer.convert_tokens_to_ids(list("abcdef"))
    assert "".join(write(tokenizer, tokens, ["e", "cd"])[1]) == "ab"


def test_the_end_token_is_counted_and_has_no_text(tokenizer: Any) -> None:
    answer, pieces = write(tokenizer, [*tokenizer.convert_tokens_to_ids(list("ab")), END], [])
    assert "".join(pieces) == "ab"
    assert len(answer.tokens) == 3
