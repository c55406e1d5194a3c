"""How a row becomes the prompt that a model sees, and the reference it is measured against.

Rows have one of three shapes: ``{"row_id", "messages"}`` (the last message is the assistant's: the reference),
``{"row_id", "prompt", "completion"}`` and ``{"row_id", "text"}`` (nothing to ask; the whole text is the reference, for
perplexity). A model's best prompt is its own, so the specification of the prompt is recorded with every score.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import ConfigDict, Field

from tunery.errors import InvalidInput
from tunery.platform.http import Camel

__all__ = ["Prompt", "PromptSpec", "Row", "build_prompt", "choose_shots", "reference_of", "stop_texts"]

Row: TypeAlias = Mapping[str, Any]
Turn: TypeAlias = dict[str, str]

INPUT, OUTPUT = "Input:", "Output:"


class PromptSpec(Camel):
    """How a model is asked; recorded with its score."""

    model_config = ConfigDict(frozen=True, loc_by_alias=False)

    style: Literal["chat", "completion"] = Field(
        "chat",
        description="chat: messages through the model's chat template; completion: plain text that the model goes on "
        "with, as a base model needs it.",
    )
    instruction: str | None = Field(
        None, min_length=1, description="System message (chat) or leading text (completion), in place of the row's own."
    )
    shots: int = Field(0, ge=0, le=100, description="Worked examples shown before each row, from the train split.")
    seed: int = Field(0, ge=0, description="Which examples are drawn.")
    stop: tuple[str, ...] = Field(
        (),
        max_length=16,
        description="Texts that end an answer. Where none is given, completion with examples ends at the end of the "
        "line, or at a blank line where the examples themselves hold line ends.",
    )
    max_tokens: int | None = Field(
        None, ge=1, le=65_536, description="Longest answer in tokens; the evaluation's own where it is not given."
    )


@dataclass(frozen=True)
class Prompt:
    """What a model is asked for one row.

    Attributes:
        row_id: The row.
        content: A list of messages (chat) or a text (completion).
        reference: What the row holds as right.
        continuation: The reference as it would follow the content, for log-probabilities.
    """

    row_id: str
    content: str | list[Turn]
    reference: str
    continuation: str


def build_prompt(row: Row, spec: PromptSpec, shots: Sequence[Row] = ()) -> Prompt:
    """Build the prompt of a row.

    Chat: the instruction as system message, the examples as turns, then the row's messages. Completion: with an
    instruction or examples, ``Input: ...`` and ``Output: ...`` blocks, the last left open; with neither, the row's own
    prompt as it stands.

    Raises:
        InvalidInput: The row has none of the three shapes, or has no one to ask (names the row).
    """
    turns, reference = _split(row)
    if spec.style == "chat":
        if not turns:
            raise _unfit(row, "is plain text, which a chat cannot ask for; use style: completion")
        return Prompt(str(row["row_id"]), _chat(turns, spec.instruction, shots), reference, reference)
    content = _completion(turns, spec.instruction, shots)
    framed = content.endswith(f"\n{OUTPUT}")
    return Prompt(str(row["row_id"]), content, reference, f" {reference.strip()}" if framed else reference)


def reference_of(row: Row) -> str:
    """Return what the row holds as right: the last message, the completion, or the text. Raises: InvalidInput."""
    return _split(row)[1]


def choose_shots(train_rows: Iterable[Row], spec: PromptSpec, evaluated: Collection[str]) -> list[Row]:
    """Draw the examples: the same for every row, for the same seed and rows, whatever the order of the rows.

    Args:
        train_rows: Rows of the train split.
        spec: How many, and the seed.
        evaluated: Ids of the rows that are measured.

    Raises:
        InvalidInput: A measured row stands among the train rows (names how many), or there are too few rows.
    """
    if not spec.shots:
        return []
    pool = {str(row["row_id"]): row for row in train_rows}
    leaked = sum(row_id in pool for row_id in evaluated)
    if leaked:
        raise InvalidInput(f"{leaked} of the measured rows stand in the train split too; examples would give them away")
    if len(pool) < spec.shots:
        raise InvalidInput(f"{spec.shots} examples are wanted, but the train split has {len(pool)} rows")
    drawn = sorted(pool, key=lambda row_id: hashlib.sha256(f"{spec.seed}:{row_id}".encode()).digest())
    return [pool[row_id] for row_id in drawn[: spec.shots]]


def stop_texts(spec: PromptSpec, shots: Sequence[Row] = ()) -> list[str]:
    """Return the texts that end an answer: those of the specification, else what its examples call for."""
    if spec.stop or spec.style == "chat" or not shots:
        return list(spec.stop)
    return ["\n\n"] if any("\n" in reference_of(shot).strip() for shot in shots) else ["\n"]


def _chat(turns: list[Turn], instruction: str | None, shots: Sequence[Row]) -> list[Turn]:
    system, asked = _without_system(turns)
    leading = instruction or system
    examples: list[Turn] = []
    for shot in shots:
        shot_turns, answer = _split(shot)
        examples += [*_without_system(shot_turns)[1], {"role": "assistant", "content": answer}]
    return [*([{"role": "system", "content": leading}] if leading else []), *examples, *asked]


def _completion(turns: list[Turn], instruction: str | None, shots: Sequence[Row]) -> str:
    if not turns:
        return ""
    system, asked = _without_system(turns)
    leading = instruction or (system if shots else None)
    if not leading and not shots:
        return _plain(turns)
    blocks = [leading.strip()] if leading else []
    for shot in shots:
        shot_turns, answer = _split(shot)
        blocks.append(f"{INPUT} {_plain(_without_system(shot_turns)[1])}\n{OUTPUT} {answer.strip()}")
    # No space after the last label: tokenizers of the GPT-2 kind put it into the answer's first token.
    return "\n\n".join([*blocks, f"{INPUT} {_plain(asked)}\n{OUTPUT}"])


def _plain(turns: list[Turn]) -> str:
    if len(turns) == 1:
        return turns[0]["content"]
    return "\n".join(f"{turn['role'].capitalize()}: {turn['content']}" for turn in turns)


def _without_system(turns: list[Turn]) -> tuple[str | None, list[Turn]]:
    if turns and turns[0]["role"] == "system":
        return turns[0]["content"], turns[1:]
    return None, turns


def _split(row: Row) -> tuple[list[Turn], str]:
    if row.get("tools") or any(turn.get("tool_calls") for turn in row.get("messages", ())):
        raise _unfit(row, "uses tools (tools, tool_calls), which no model is shown here, so nothing can be measured")
    if "messages" in row:
        if not all(isinstance(turn.get("content"), str) and turn.get("role") for turn in row["messages"]):
            raise _unfit(row, "has a message without a role or without text")
        turns = [{"role": str(turn["role"]), "content": turn["content"]} for turn in row["messages"]]
        if len(turns) < 2 or turns[-1]["role"] != "assistant":
            raise _unfit(row, "does not end with an assistant's message after a question, so nothing can be measured")
        return turns[:-1], turns[-1]["content"]
    if "prompt" in row and "completion" in row:
        return [{"role": "user", "content": str(row["prompt"])}], str(row["completion"])
    if "text" in row:
        return [], str(row["text"])
    raise _unfit(row, f"has neither messages nor prompt and completion nor text, but {', '.join(sorted(row))}")


def _unfit(row: Row, why: str) -> InvalidInput:
    return InvalidInput(f"row {row.get('row_id', '(without row_id)')} {why}")
