"""Read rows, encode them all, and report every row that does not fit before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tunery.errors import InvalidInput, RowInvalid
from tunery.training.ports import Example, Method
from tunery.training.text import ChatText

__all__ = ["EncodedRows", "encode_rows", "read_rows"]

_SHOWN = 20


@dataclass(frozen=True)
class EncodedRows:
    """The examples of one file in its order, and the ids of the rows left out because they are too long."""

    examples: list[Example]
    dropped: list[str] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return sum(example.length for example in self.examples)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Read rows, one JSON object a line. Raises: RowInvalid: the line that is none, or that lacks a ``row_id``."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
            except ValueError as fault:
                raise RowInvalid(f"{path.name}, line {number} is not JSON: {fault}") from fault
            if not isinstance(row, dict) or not isinstance(row.get("row_id"), str):
                raise RowInvalid(f"{path.name}, line {number} is not an object with a row_id")
            yield row


def encode_rows(
    path: Path, method: Method, text: ChatText, max_length: int, too_long: Literal["error", "drop"]
) -> EncodedRows:
    """Encode every row of a file.

    Raises: InvalidInput: all rows that the method cannot read, or all rows over ``max_length`` tokens with their
        lengths (with ``too_long="error"``), or no row is left.
    """
    examples: list[Example] = []
    faults: list[str] = []
    long: list[tuple[str, int]] = []
    for row in read_rows(path):
        try:
            example = method.encode(row, text)
        except InvalidInput as fault:
            faults.append(f"row {row['row_id']}: {fault.message}")
            continue
        if example.length > max_length:
            long.append((example.row_id, example.length))
        else:
            examples.append(example)
    if faults:
        raise InvalidInput(f"{len(faults)} rows of {path.name} cannot be used:\n" + _listed(faults), faults=faults)
    if long and too_long == "error":
        shown = _listed([f"row {row_id}: {length} tokens" for row_id, length in long])
        raise InvalidInput(
            f"{len(long)} rows of {path.name} are longer than max_length ({max_length} tokens) and are never cut; "
            f"raise hyperparameters.max_length, shorten them, or set too_long: drop to leave them out:\n{shown}",
            rows=[{"row_id": row_id, "length": length} for row_id, length in long],
        )
    if not examples:
        raise InvalidInput(f"{path.name} has no row that can be used")
    return EncodedRows(examples, [row_id for row_id, _ in long])


def _listed(lines: list[str]) -> str:
    more = [f"... and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n".join([*lines[:_SHOWN], *more])
