"""The shapes a row can have for training, told apart by rule.

    chat            messages: [{role, content, tool_calls?}, ...], the last of them the assistant's; tools, if there are
    completion      prompt, completion
    preference      prompt, chosen, rejected: texts, or all three lists of messages
    prompt          prompt, with nothing to answer
    classification  text, label
    text            text
    table           any columns, none of which a model learns from; only where it is asked for

Other columns stay beside them untouched. Rules are tried in order; the first whose columns a row has is taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Literal, TypeAlias

from tunery.datasets.messages import read_chat, read_messages, read_tools, text_of, texts_of_message
from tunery.datasets.quarantine import RowFault
from tunery.errors import InvalidInput

__all__ = [
    "MAP_A_TABLE",
    "SHAPES",
    "ColumnMap",
    "Columns",
    "Shape",
    "Shaper",
    "columns_of",
    "content_of",
    "input_of",
    "output_of",
    "text_of",
    "texts_of",
]

Shape = Literal["chat", "completion", "preference", "prompt", "classification", "text", "table"]
Columns: TypeAlias = Mapping[str, str | list[str]]
Sources: TypeAlias = dict[str, tuple[str, ...]]

SHAPES: dict[Shape, tuple[str, ...]] = {
    "chat": ("messages",),
    "completion": ("prompt", "completion"),
    "preference": ("prompt", "chosen", "rejected"),
    "prompt": ("prompt",),
    "classification": ("text", "label"),
    "text": ("text",),
    "table": (),
}
"""The columns that make up each shape."""

MAP_A_TABLE = (
    "to learn from a plain table, or to be measured on it, import its rows again and say which columns are what: "
    "`tunery datasets export NAME --to rows.jsonl`, then `tunery datasets import rows.jsonl --name NEW --column "
    "prompt=... --column completion=...` (or `--column text=...`)"
)

_MAY_LACK = {"chat": ("tools",), "preference": ("prompt",)}
"""Columns that need not be mapped: not every chat has tools, and whole chats chosen and rejected begin with the prompt.
"""
_MOST_KNOWN = 10_000


@dataclass(frozen=True)
class ColumnMap:
    """Which columns of a file make up the columns of a shape; several are joined by a blank line, empty ones left out.

    The first column of each is required (but for tools), the others may be missing.
    """

    shape: Shape
    sources: tuple[tuple[str, tuple[str, ...]], ...]

    @classmethod
    def declared(cls, columns: Columns) -> ColumnMap:
        """Return the map that a person wrote. Raises: InvalidInput: the columns make up no shape."""
        sources = {target: (names,) if isinstance(names, str) else tuple(names) for target, names in columns.items()}
        for shape, targets in SHAPES.items():
            may_lack = _MAY_LACK.get(shape, ())
            needed = set(targets) - set(may_lack)
            if needed and needed <= set(sources) <= {*targets, *may_lack} and all(sources.values()):
                return cls(shape, tuple((name, sources[name]) for name in (*targets, *may_lack) if name in sources))
        shapes = "; ".join(" and ".join(targets) for targets in SHAPES.values() if targets)
        raise InvalidInput(f"columns maps {', '.join(sources) or 'nothing'}; it must map exactly one of: {shapes}")

    def fits(self, names: Iterable[str]) -> bool:
        """Tell whether a row with these columns can be read by this map."""
        return {source[0] for _, source in self.sources} <= set(names)

    def as_columns(self) -> dict[str, str | list[str]]:
        """Return the map as it is written in a recipe."""
        return {target: names[0] if len(names) == 1 else list(names) for target, names in self.sources}


def _map(shape: Shape, **sources: tuple[str, ...]) -> ColumnMap:
    return ColumnMap(shape, tuple(sources.items()))


RULES: tuple[ColumnMap, ...] = (
    _map("chat", messages=("messages",), tools=("tools",)),
    _map("chat", messages=("messages",)),
    _map("chat", messages=("conversations",), tools=("tools",)),
    _map("chat", messages=("conversations",)),
    _map("preference", prompt=("prompt",), chosen=("chosen",), rejected=("rejected",)),
    _map("preference", prompt=("question",), chosen=("chosen",), rejected=("rejected",)),
    _map("preference", prompt=("instruction",), chosen=("chosen",), rejected=("rejected",)),
    _map("preference", chosen=("chosen",), rejected=("rejected",)),
    _map("completion", prompt=("prompt",), completion=("completion",)),
    _map("completion", prompt=("prompt",), completion=("response",)),
    _map("completion", prompt=("instruction", "input"), completion=("output",)),
    _map("completion", prompt=("instruction", "input"), completion=("response",)),
    _map("completion", prompt=("question",), completion=("answer",)),
    _map("completion", prompt=("input",), completion=("output",)),
    _map("classification", text=("text",), label=("label",)),
    _map("classification", text=("sentence",), label=("label",)),
    _map("text", text=("text",)),
    _map("prompt", prompt=("prompt",)),
    _map("prompt", prompt=("instruction",)),
    _map("prompt", prompt=("question",)),
)


_TABLE = ColumnMap("table", ())
_RICHER: dict[Shape, frozenset[Shape]] = {
    "prompt": frozenset({"completion", "preference"}),
    "text": frozenset({"classification"}),
}
"""Shapes that a row would have if it did not lack a column."""


class _Reading:
    """How the rows with one set of columns are read by a map. Raises: RowFault: the map hides one of the columns."""

    def __init__(self, found: ColumnMap, names: tuple[str, ...]) -> None:
        self.found = found
        self._sources = dict(found.sources)
        self._reader = _READERS.get(found.shape, _read_texts)
        used = {name for _, own in found.sources for name in own}
        self._rest = [name for name in names if name not in used]
        for target in (*SHAPES[found.shape], *_MAY_LACK.get(found.shape, ())):
            if target in self._rest:
                by = self._sources.get(target, found.sources[0][1])[0]
                raise RowFault(f"the column {target!r} would be hidden by {by!r}; map it or take it out of the file")

    def read(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the row in its shape, other columns after it."""
        shaped = self._reader(self._sources, values)
        for name in self._rest:
            shaped[name] = values[name]
        return shaped


Sightings: TypeAlias = list[tuple[ColumnMap, int, list[int]]]


@dataclass
class _Seen:
    count: int = 0
    lines: list[int] = field(default_factory=list)


class Shaper:
    """Brings the rows of one import into one shape.

    Args:
        columns: The declared map; without it each row's columns are matched against the rules.
        shape: The shape of rows that came before these, elsewhere; ``table`` takes rows as they are.
    """

    def __init__(self, columns: Columns | None = None, shape: Shape | None = None) -> None:
        self._declared = _TABLE if shape == "table" else ColumnMap.declared(columns) if columns else None
        self._readings: dict[tuple[str, ...], _Reading] = {}
        self._seen: dict[ColumnMap, _Seen] = {}
        self._shapes: set[Shape] = {shape} if shape else set()

    def shape(self, values: dict[str, Any], line: int) -> dict[str, Any]:
        """Return the row in its shape. Raises: RowFault: it has none, or its content does not fit it."""
        names = tuple(values)
        reading = self._readings.get(names)
        if reading is None:
            reading = _Reading(self._find(names), names)
            if len(self._readings) < _MOST_KNOWN:
                self._readings[names] = reading
        shape = reading.found.shape
        if shape in _RICHER and not self._shapes.isdisjoint(_RICHER[shape]):
            raise RowFault(f"its columns ({', '.join(names[:10])}) lack one that other rows have")
        shaped = reading.read(values)
        self._shapes.add(shape)
        seen = self._seen.setdefault(reading.found, _Seen())
        seen.count += 1
        if len(seen.lines) < 3:
            seen.lines.append(line)
        return shaped

    @property
    def mixed(self) -> bool:
        """Whether rows of more than one shape came by, so that ``finish`` will refuse the file."""
        return len(self._shapes) > 1

    def seen(self) -> Sightings:
        """Return how many rows each map read, and the lines of the first."""
        return [(found, seen.count, seen.lines) for found, seen in self._seen.items()]

    def add(self, later: Sightings) -> None:
        """Add what was seen of rows that come after these."""
        for found, count, lines in later:
            self._shapes.add(found.shape)
            seen = self._seen.setdefault(found, _Seen())
            seen.count += count
            seen.lines = (seen.lines + lines)[:3]

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

    def _find(self, names: tuple[str, ...]) -> ColumnMap:
        if self._declared is _TABLE and not names:
            raise RowFault("it has no columns")
        if self._declared is not None:
            lacking = [own[0] for to, own in self._declared.sources if to != "tools" and own[0] not in names]
            if lacking:
                raise RowFault(f"the column {lacking[0]!r} is missing")
            return self._declared
        found = next((rule for rule in RULES if rule.fits(names)), None)
        if found is None:
            shown = ", ".join(sorted(names)[:10]) or "none"
            raise RowFault(
                f"its columns ({shown}) are none that Tunery knows, such as messages, prompt and completion, or text; "
                "say with columns which they are, or import the file as a plain table (shape: table)"
            )
        return found


def content_of(shape: Shape, values: dict[str, Any]) -> list[Any]:
    """Return what a model would learn from: the values of the shape's columns, without the others."""
    if shape == "table":
        return [values]
    content = [values[column] for column in SHAPES[shape]]
    return [*content, values["tools"]] if shape == "chat" and "tools" in values else content


def columns_of(shape: Shape, values: dict[str, Any]) -> tuple[str, ...]:
    """Return the columns of a row that make up its shape; of a table all of them, by name."""
    return SHAPES[shape] or tuple(sorted(values))


def input_of(shape: Shape, values: dict[str, Any]) -> str:
    """Return what a model is asked: all messages but the last, the prompt, or the whole text; of a table the row."""
    if shape == "table":
        return "\n".join(text for column in columns_of(shape, values) for text in texts_of(values[column]))
    if shape == "chat":
        return "\n".join(texts_of(values["messages"][:-1]))
    return "\n".join(texts_of(values["text" if shape in ("text", "classification") else "prompt"]))


def output_of(shape: Shape, values: dict[str, Any]) -> str:
    """Return what a model is to answer: the last message, the completion, what was chosen, the label, or nothing."""
    if shape == "chat":
        return "\n".join(texts_of(values["messages"][-1:]))
    column = _ANSWERS.get(shape)
    return "\n".join(texts_of(values[column])) if column else ""


_ANSWERS: dict[Shape, str] = {"completion": "completion", "preference": "chosen", "classification": "label"}


def texts_of(value: Any) -> list[str]:
    """Return the texts of a column's value: itself, what its messages say, or its JSON."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value and all(isinstance(item, dict) and "content" in item for item in value):
        return [text for item in value for text in texts_of_message(item)]
    return [] if value is None else [json.dumps(value, ensure_ascii=False)]


def _read_texts(sources: Sources, values: dict[str, Any]) -> dict[str, Any]:
    return {target: _joined(target, names, values) for target, names in sources.items()}


def _read_chat(sources: Sources, values: dict[str, Any]) -> dict[str, Any]:
    shaped: dict[str, Any] = {"messages": read_chat(values[sources["messages"][0]])}
    tools = read_tools(values.get(sources["tools"][0])) if "tools" in sources else []
    return shaped | {"tools": tools} if tools else shaped


def _read_preference(sources: Sources, values: dict[str, Any]) -> dict[str, Any]:
    """Read texts as texts; where any of the three is a list of messages, all become lists."""
    given = {target: values[names[0]] for target, names in sources.items() if len(names) == 1}
    if not any(isinstance(value, list) for value in given.values()):
        if "prompt" not in sources:
            raise RowFault("there is no prompt beside chosen and rejected")
        shaped: dict[str, Any] = _read_texts(sources, values)
    else:
        shaped = _preferred_messages(
            {
                target: given[target] if target in given else _joined(target, sources[target], values)
                for target in sources
            }
        )
    if shaped["chosen"] == shaped["rejected"]:
        raise RowFault("chosen and rejected are equal, so there is nothing to prefer")
    return shaped


def _preferred_messages(given: dict[str, Any]) -> dict[str, Any]:
    chosen = _turns("chosen", "assistant", given["chosen"])
    rejected = _turns("rejected", "assistant", given["rejected"])
    prompt = _turns("prompt", "user", given["prompt"]) if given.get("prompt") else []
    if chosen[0] == rejected[0] and chosen[0]["role"] != "assistant":  # both are whole chats
        both = zip(chosen[:-1], rejected[:-1], strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], both))
        if any(message not in chosen[:shared] for message in prompt):
            raise RowFault("chosen and rejected do not begin with the prompt")
        prompt, chosen, rejected = chosen[:shared], chosen[shared:], rejected[shared:]
    for column, messages in (("chosen", chosen), ("rejected", rejected)):
        if messages[-1]["role"] != "assistant":
            raise RowFault(f"the last message of {column} is not the assistant's")
    if not prompt:
        raise RowFault("there is no prompt that chosen and rejected answer")
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def _turns(column: str, role: str, value: Any) -> list[dict[str, Any]]:
    return read_messages(value if isinstance(value, list) else [{"role": role, "content": text_of(value)}], column)


_READERS: dict[Shape, Callable[[Sources, dict[str, Any]], dict[str, Any]]] = {
    "chat": _read_chat,
    "preference": _read_preference,
}


def _joined(target: str, names: tuple[str, ...], values: dict[str, Any]) -> str:
    if len(names) == 1 and isinstance(value := values[names[0]], str):
        text = value
    else:
        text = "\n\n".join(part for part in (text_of(values.get(name)) for name in names) if part.strip())
    if not text or text.isspace():
        raise RowFault(f"the {target} is empty")
    return text
