from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.tiny import make_tokenizer
from tunery.errors import InvalidInput, RowInvalid
from tunery.training.ports import METHODS
from tunery.training.rows import encode_rows
from tunery.training.text import ChatText

SFT = METHODS.get("sft")


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Texts of 3, 11 and 21 tokens with the one that ends each."""
    return write(tmp_path / "rows.jsonl", *({"row_id": f"r{n}", "text": "x" * n} for n in (2, 10, 20)))


def test_a_row_longer_than_the_context_is_reported_with_its_length_and_all_of_them_at_once(texts: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        encode_rows(texts, SFT, ChatText(make_tokenizer()), max_length=8, too_long="error")
    assert caught.value.details["rows"] == [{"row_id": "r10", "length": 11}, {"row_id": "r20", "length": 21}]
    assert "2 rows" in caught.value.message
    assert "row r20: 21 tokens" in caught.value.message


def test_rows_that_are_too_long_can_be_left_out_and_are_named(texts: Path) -> None:
    encoded = encode_rows(texts, SFT, ChatText(make_tokenizer()), max_length=11, too_long="drop")
    assert [example.row_id for example in encoded.examples] == ["r2", "r10"]
    assert encoded.dropped == ["r20"]
    assert encoded.tokens == 3 + 11


def test_nothing_is_trained_when_every_row_is_too_long(texts: Path) -> None:
    with pytest.raises(InvalidInput, match="no row that can be used"):
        encode_rows(texts, SFT, ChatText(make_tokenizer()), max_length=2, too_long="drop")


def test_every_row_without_anything_to_learn_is_named(tmp_path: Path) -> None:
    question = [{"role": "user", "content": "q"}]
    rows = write(tmp_path / "rows.jsonl", {"row_id": "a", "messages": question}, {"row_id": "b", "other": 1})
    with pytest.raises(InvalidInput) as caught:
        encode_rows(rows, SFT, ChatText(make_tokenizer()), 100, "error")
    assert "row a: there is nothing in it to learn" in caught.value.message
    assert "row b: it has neither messages" in caught.value.message


def test_a_line_that_is_no_row_is_named_by_its_number(tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", {"row_id": "a", "text": "x"}, ["no", "row"])
    with pytest.raises(RowInvalid, match=r"rows\.jsonl, line 2"):
        encode_rows(rows, SFT, ChatText(make_tokenizer()), 100, "error")
