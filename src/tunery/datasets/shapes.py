"""The shapes a row can have for training, told apart by rule.

    chat        messages: [{role, content}, ...], the last of them the assistant's
    completion  prompt, completion
    text        text

Other columns stay beside them untouched. Rules are tried in order; the first whose columns a row has is taken.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from tunery.datasets.quarantine import RowFault
from tunery.errors import InvalidInput

__all__ = ["SHAPES", "ColumnMap", "Columns", "Shape", "Shaper", "content_of", "input_of", "output_of", "texts_of"]

Shape = Literal["chat", "completion", "text"]
Columns: TypeAlias = Mapping[str, str | list[str]]

SHAPES: dict[Shape, tuple[str, ...]] = {
    "chat": ("messages",),
    "completion": ("prompt", "completion"),
    "text": ("text",),
}
"""The columns that make up each shape."""

_ROLES = {"human": "user", "gpt": "assistant", "model": "assistant"} | {
    role: role for role in ("system", "user", "assistant", "tool")
}


@dataclass(frozen=True)
class ColumnMap:
    """Which columns of a file make up the columns of a shape; several are joined by a blank line, empty ones left out.

    The first column of each is required, the others may be missing.
    """

    shape: Shape
    sources: tuple[tuple[str, tuple[str, ...]], ...]

    @classmethod
    def declared(cls, columns: Columns) -> ColumnMap:
        """Return the map that a person wrote. Raises: InvalidInput: the columns make up no shape."""
        sources = {target: (names,) if isinstance(names, str) else tuple(names) for target, names in columns.items()}
        for shape, targets in SHAPES.items():
            if set(sources) == set(targets) and all(sources.values()):
                return cls(shape, tuple((target, sources[target]) for target in targets))
        shapes = "; ".join(" and ".join(targets) for targets in SHAPES.values())
        raise InvalidInput(f"columns maps {', '.join(sources) or 'nothing'}; it must map exactly one of: {shapes}")

    def fits(self, names: Iterable[str]) -> bool:
        """Tell whether a row with these columns can be read by this map."""
        present = set(names)
        return all(source[0] in present for _, source in self.sources)

    def as_columns(self) -> dict[str, str | list[str]]:
        """Return the map as it is written in a recipe."""
        return {target: names[0] if len(names) == 1 else list(names) for target, names in self.sources}


def _map(shape: Shape, **sources: tuple[str, ...]) -> ColumnMap:
    return ColumnMap(shape, tuple(sources.items()))


RULES: tuple[ColumnMap, ...] = (
    _map("chat", messages=("messages",)),
    _map("chat", messages=("conversations",)),
    _map("completion", prompt=("prompt",), completion=("completion",)),
    _map("completion", prompt=("prompt",), completion=("response",)),
    _map("completion", prompt=("instruction", "input"), completion=("output",)),
    _map("completion", prompt=("instruction", "input"), completion=("response",)),
    _map("completion", prompt=("question",), completion=("answer",)),
    _map("completion", prompt=("input",), completion=("output",)),
    _map("text", text=("text",)),
)


@dataclass
class _Seen:
    count: int = 0
    lines: list[int] = field(default_factory=list)


class Shaper:
    """Brings the rows of one import into one shape.

    Args:
        columns: The declared map; without it each row's columns are matched against the rules.
    """

    def __init__(self, columns: Columns | None = None) -> None:
        self._declared = ColumnMap.declared(columns) if columns else None
        self._guesses: dict[frozenset[str], ColumnMap | None] = {}
        self._seen: dict[ColumnMap, _Seen] = {}

    def shape(self, values: dict[str, Any], line: int) -> dict[str, Any]:
        """Return the row in its shape. Raises: RowFault: it has none, or its content does not fit it."""
        found = self._find(values)
        shaped = _apply(found, values)
        seen = self._seen.setdefault(found, _Seen())
        seen.count += 1
        if len(seen.lines) < 3:
            seen.lines.append(line)
        return shaped

    @property
    def mixed(self) -> bool:
        """Whether rows of more than one shape came by, so that ``finish`` will refuse the file."""
        return len({found.shape for found in self._seen}) > 1

    @property
    def maps(self) -> list[ColumnMap]:
        """The maps in use so far, the commonest first."""
        return sorted(self._seen, key=lambda found: -self._seen[found].count)

    def finish(self) -> ColumnMap:
        """Return the map of most rows. Raises: InvalidInput: there were rows of more than one shape (names lines)."""
        by_shape: dict[str, list[int]] = {}
        for found, seen in self._seen.items():
            by_shape.setdefault(found.shape, []).extend(seen.lines)
        if self.mixed:
            found_lines = "; ".join(
                f"{shape} on line {', '.join(map(str, sorted(lines)[:3]))}" for shape, lines in by_shape.items()
            )
            raise InvalidInput(
                f"the file mixes rows of different shapes ({found_lines}, ...); put each shape into a file of its own, "
                "or say with columns which one to read"
            )
        return self.maps[0]

    def _find(self, values: dict[str, Any]) -> ColumnMap:
        if self._declared is not None:
            if self._declared.fits(values):
                return self._declared
            wanted = [names[0] for _, names in self._declared.sources if names[0] not in values]
            raise RowFault(f"the column {wanted[0]!r} is missing")
        names = frozenset(values)
        if names not in self._guesses:
            self._guesses[names] = next((rule for rule in RULES if rule.fits(names)), None)
        found = self._guesses[names]
        if found is None:
            shown = ", ".join(sorted(names)[:10]) or "none"
            raise RowFault(
                f"its columns ({shown}) are none that Tunery knows, such as messages, prompt and completion, or text; "
                "say with columns which they are"
            )
        return found


def content_of(shape: Shape, values: dict[str, Any]) -> list[Any]:
    """Return what a model would learn from: the values of the shape's columns, without the others."""
    return [values[column] for column in SHAPES[shape]]


def input_of(shape: Shape, values: dict[str, Any]) -> str:
    """Return what a model is asked: all messages but the last, the prompt, or the whole text."""
    if shape == "chat":
        return "\n".join(str(message.get("content") or "") for message in values["messages"][:-1])
    return str(values["prompt" if shape == "completion" else "text"])


def output_of(shape: Shape, values: dict[str, Any]) -> str:
    """Return what a model is to answer: the last message, the completion, or nothing for plain text."""
    if shape == "chat":
        return str(values["messages"][-1]["content"])
    return str(values["completion"]) if shape == "completion" else ""


def texts_of(value: Any) -> list[str]:
    """Return the texts of a column's value: itself, the contents of its messages, or its JSON."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value and all(isinstance(item, dict) and "content" in item for item in value):
        return [str(item["content"] or "") for item in value]
    return [] if value is None else [json.dumps(value, ensure_ascii=False)]


def _apply(found: ColumnMap, values: dict[str, Any]) -> dict[str, Any]:
    used = {name for _, names in found.sources for name in names}
    shaped: dict[str, Any] = {}
    for target, names in found.sources:
        if target in values and target not in used:
            raise RowFault(f"the column {target!r} would be hidden by {names[0]!r}; map it or take it out of the file")
        shaped[target] = _messages(values[names[0]]) if target == "messages" else _joined(target, names, values)
    return shaped | {name: value for name, value in values.items() if name not in used}


def _joined(target: str, names: tuple[str, ...], values: dict[str, Any]) -> str:
    parts = [_as_text(values.get(name)) for name in names]
    text = "\n\n".join(part for part in parts if part.strip())
    if not text:
        raise RowFault(f"the {target} is empty")
    return text


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _messages(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        raise RowFault("messages is not a list of messages, or has none")
    messages = [_message(number, item) for number, item in enumerate(value, start=1)]
    if any(message["role"] == "system" for message in messages[1:]):
        raise RowFault("a system message stands after the first message")
    if messages[-1]["role"] != "assistant":
        raise RowFault(f"the last message is the {messages[-1]['role']}'s; it must be the assistant's")
    if len(messages) == 1:
        raise RowFault("there is only the assistant's message, and nobody it answers")
    return messages


def _message(number: int, item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise RowFault(f"message {number} is not an object with role and content")
    role = item.get("role", item.get("from"))
    content = item.get("content", item.get("value"))
    if not isinstance(role, str) or role not in _ROLES:
        raise RowFault(f"message {number} has the role {str(role)[:40]!r}; use one of {', '.join(_ROLES)}")
    if not isinstance(content, str):
        raise RowFault(f"message {number} has no text as its content")
    if role in ("assistant", "gpt", "model") and not content.strip():
        raise RowFault(f"message {number}, the assistant's, is empty")
    rest = {name: value for name, value in item.items() if name not in ("role", "from", "content", "value")}
    return {"role": _ROLES[role], "content": content, **rest}
