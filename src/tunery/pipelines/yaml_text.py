"""Read YAML 1.2 as plain data, within limits. Source: yaml.org/spec/1.2.2, core schema (``5e-5`` is a number)."""

from __future__ import annotations

from datetime import date
from typing import Any

from tunery.errors import RecipeInvalid

__all__ = ["parse_yaml"]

_MAX_BYTES = 1_000_000
_MAX_DEPTH = 30


def parse_yaml(text: str) -> dict[str, Any]:
    """Return the mapping that the text holds; values are plain JSON.

    Raises:
        RecipeInvalid: Names line and column. Aliases, tags and deep nesting are refused: a recipe needs none, and a few
            lines of them can fill the memory.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent

    if len(text.encode()) > _MAX_BYTES:
        raise _fault("", f"the recipe is larger than {_MAX_BYTES} bytes")
    reader, depth = YAML(typ="safe", pure=True), 0
    try:
        for event in reader.parse(text):
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            where = f"line {event.start_mark.line + 1}"
            if isinstance(event, AliasEvent):
                raise _fault(where, "aliases (*name) are not accepted in a recipe; write the value out")
            if isinstance(event, (ScalarEvent, CollectionStartEvent)) and event.tag is not None:
                raise _fault(where, "tags (!name) are not accepted in a recipe")
            if depth > _MAX_DEPTH:
                raise _fault(where, "the recipe is nested too deeply")
        found = reader.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise _fault(where, str(error.problem or error.context or "this is no YAML")) from error
    except (YAMLError, RecursionError, ValueError) as error:
        raise _fault("", "this is no YAML") from error
    if not isinstance(found, dict):
        raise _fault("line 1", "a recipe is a mapping of sections such as model, training_data, evaluation")
    return _plain(found)  # type: ignore[no-any-return]


def _fault(where: str, message: str) -> RecipeInvalid:
    return RecipeInvalid(f"{where}: {message}" if where else message, faults=[{"path": where, "message": message}])


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value
