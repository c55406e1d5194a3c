"""Markdown becomes sections, or questions with their answers (DAT-01)."""

from __future__ import annotations

import io

import pytest

from tunery.datasets.formats import IMPORTERS, Malformed, Record, guess_format, markdown_file
from tunery.errors import FormatInvalid, TooLarge


def read(text: str | bytes, limit: int = 10_000) -> list[Record | Malformed]:
    data = text if isinstance(text, bytes) else text.encode()
    return list(IMPORTERS.get("markdown")(io.BytesIO(data), limit))


GUIDE = """\
Before all.

# Guide

## Install

Run `pip`.

```sh
# no heading
Q: none either
```

Setup
-----
* * *
Later.

# Empty

## Deep ##
Text\x20\x20
with two lines.
"""


def test_sections_are_texts_with_the_path_of_their_headings() -> None:
    found = read(GUIDE)
    assert found == [
        Record(1, {"text": "Before all.", "headings": []}),
        Record(
            5,
            {
                "text": "## Install\n\nRun `pip`.\n\n```sh\n# no heading\nQ: none either\n```",
                "headings": ["Guide", "Install"],
            },
        ),
        Record(14, {"text": "Setup\n-----\n* * *\nLater.", "headings": ["Guide", "Setup"]}),
        Record(21, {"text": "## Deep ##\nText  \nwith two lines.", "headings": ["Empty", "Deep"]}),
    ]
    assert read(GUIDE.replace("\n", "\r\n")) == found
    assert [guess_format(name) for name in ("a.md", "b.MARKDOWN")] == ["markdown", "markdown"]


def test_headings_that_ask_make_prompts_and_what_stands_below_them_answers() -> None:
    found = read(
        "# FAQ\n\n## How do I install?\n\nWith pip.\n\n### On Windows\n\nThe same.\n\n## Q: Cost\n\nA: None.\n"
    )
    assert found == [
        Record(
            3,
            {
                "prompt": "How do I install?",
                "completion": "With pip.\n\n### On Windows\n\nThe same.",
                "headings": ["FAQ"],
            },
        ),
        Record(11, {"prompt": "Cost", "completion": "None.", "headings": ["FAQ"]}),
    ]


def test_what_stands_beside_the_questions_is_reported_and_not_dropped() -> None:
    found = read("# FAQ\n\nAsk us.\n\n## Why?\n\nSo.\n\nReally.\n\n## How?\n\nThus.\n")
    assert [type(item) for item in found] == [Malformed, Record, Record]
    assert isinstance(found[0], Malformed)
    assert (found[0].line, found[0].text) == (1, "# FAQ\n\nAsk us.")
    assert "no question" in found[0].reason


def test_a_heading_that_asks_and_has_no_answer_is_reported_unless_it_stands_over_others() -> None:
    found = read("# Questions?\n\n## One?\n\nYes.\n\n## Two?\n\n## Three?\n## Q: Four\nA:\n# Five?\n")
    assert [(type(item), item.line) for item in found] == [
        (Record, 3),
        *((Malformed, line) for line in (7, 9, 10, 12)),
    ]
    assert found[1] == Malformed(7, "the question has no answer", "## Two?")


@pytest.mark.parametrize(
    "text",
    [
        "Q: Why?\nA: So.\n\nQ: How\nmuch?\nA:\nThat\n\nmuch.\n",
        "**Q:** Why?\n**A:** So.\n\n**Q: How\nmuch?**\n**A:** That\n\nmuch.\n".replace("How\nmuch?**", "How much?**"),
        "- Question 1: Why?\n- Answer 1: So.\n- Question 2: How much?\n- Answer 2: That\n\nmuch.\n",
        "Q. Why?\nA. So.\nQ. How much?\nA. That\n\nmuch.",
    ],
)
def test_pairs_of_q_and_a_make_prompts_and_completions(text: str) -> None:
    found = read(text)
    assert [item.values["prompt"].replace("\n", " ") for item in found if isinstance(item, Record)] == [
        "Why?",
        "How much?",
    ]
    assert [item.values["completion"] for item in found if isinstance(item, Record)] == ["So.", "That\n\nmuch."]
    assert len(found) == 2


def test_a_question_without_an_answer_is_reported_with_its_line() -> None:
    found = read("# One\nQ: a?\nA: b\n\nQ: c?\n# Two\nintro\nQ: d?\nA: e\nQ: f\nA: g\n")
    assert [(item.line, type(item)) for item in found] == [
        (2, Record),
        (5, Malformed),
        (7, Malformed),
        (8, Record),
        (10, Record),
    ]
    assert found[0] == Record(2, {"prompt": "a?", "completion": "b", "headings": ["One"]})


def test_one_pair_in_a_long_text_does_not_make_it_a_list_of_questions() -> None:
    found = read("# Talk\n" + "Much is said.\n" * 9 + "\nQ: a?\nA: b\n")
    assert [item.values.keys() for item in found if isinstance(item, Record)] == [{"text", "headings"}]


def test_front_matter_becomes_columns() -> None:
    text = "---\ntitle: Guide\ndate: 2024-05-06\ntags: [a, b]\n---\n\n# One\nText\n"
    (record,) = read(text)
    assert record == Record(
        7, {"text": "# One\nText", "headings": ["One"], "title": "Guide", "date": "2024-05-06", "tags": ["a", "b"]}
    )
    assert read("---\n\nText\n")[0] == Record(1, {"text": "---\n\nText", "headings": []})


@pytest.mark.parametrize(
    ("front", "reason"),
    [
        ("a: &x [1]\nb: *x", "line 3: aliases"),
        ("a: !!python/object/apply:os.system [ls]", "line 2: tags"),
        ("a: [", "line 2, column 5"),
        ("- a", "is a mapping"),
        ("text: hidden", "'text' would hide"),
        ("a: .nan", "none that JSON has"),
        ('a: "\\ud800"', "none that JSON has|no YAML|line"),
        ("a: " + "[" * 50 + "]" * 50, "nested"),
    ],
)
def test_front_matter_that_is_no_plain_mapping_is_refused_with_its_line(front: str, reason: str) -> None:
    with pytest.raises(FormatInvalid, match=reason):
        read(f"---\n{front}\n---\nText\n")


def test_bytes_that_are_no_text_cost_their_section_alone() -> None:
    found = read(b"# One\nfine\n# Two\nb\xe9d\n# Three\nfine\n")
    assert [type(item) for item in found] == [Record, Malformed, Record]
    assert "byte 0xe9" in str(found[1])
    assert [type(item) for item in read("# A\n" + "x" * 200 + "\n# B\ny", limit=100)] == [Malformed, Record]


def test_a_document_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown_file, "MAX_BYTES", 10)
    with pytest.raises(TooLarge, match="split it"):
        read("# A\n\nlong text")


def test_an_empty_document_has_no_rows() -> None:
    assert read("") == read("\n\n# Only\n") == []
