"""Read YAML 1.2 as plain data, within limits. Source: yaml.org/spec/1.2.2, core schema (``5e-5`` is a number)."""

from __future__ import annotations

from datetime import date
from typing import Any

__all__ = ["YamlFault", "parse_yaml"]

_MAX_BYTES = 1_000_000
_MAX_DEPTH = 30


class YamlFault(ValueError):
    """A text that is no YAML as it is read here.

    Attributes:
        where: Line and column, such as ``line 3, column 1``, or nothing.
        message: What is wrong.
    """

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.where = where
        self.message = message


def parse_yaml(text: str, what: str) -> dict[str, Any]:
    """Return the mapping that the text holds; values are plain JSON, but for NaN and infinity.

    Args:
        text: The YAML.
        what: What it is, for messages: ``a recipe``.

    Raises:
        YamlFault: Names line and column. Aliases, tags and deep nesting are refused: nothing here needs them, and a few
            lines of them can fill the memory.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent

    if len(text.encode("utf-8", "replace")) > _MAX_BYTES:
        raise YamlFault("", f"{what} may not be larger than {_MAX_BYTES} bytes")
    reader, depth = YAML(typ="safe", pure=True), 0
    try:
        for event in reader.parse(text):
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            where = f"line {event.start_mark.line + 1}"
            if isinstance(event, AliasEvent):
                raise YamlFault(where, f"aliases (*name) are not accepted in {what}; write the value out")
            if isinstance(event, (ScalarEvent, CollectionStartEvent)) and event.tag is not None:
                raise YamlFault(where, f"tags (!name) are not accepted in {what}")
            if depth > _MAX_DEPTH:
                raise YamlFault(where, f"{what} may not be nested so deeply")
        found = reader.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise YamlFault(where, str(error.problem or error.context or "this is no YAML")) from error
    except YamlFault:
        raise
    except (YAMLError, RecursionError, ValueError) as error:
        raise YamlFault("", "this is no YAML") from error
    if not isinstance(found, dict):
        raise YamlFault("line 1", f"{what} is a mapping of names to values")
    return _plain(found)  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value
