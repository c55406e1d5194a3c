"""What pydantic finds wrong, in Tunery's words: where it is, what it is, and the nearest name that would be right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Literal, TypeAlias, get_args, get_origin

from pydantic import BaseModel

__all__ = ["Fault", "fault_line", "faults_of", "nearest"]

Fault: TypeAlias = dict[str, str]
"""``path``, ``message`` and perhaps ``hint``."""

_MOST, _LONGEST, _LONGEST_VALUE, _MOST_NAMES = 100, 100, 60, 20
_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "there is no such key",
    "union_tag_not_found": "is missing",
    "string_type": "must be text",
    "string_pattern_mismatch": "must have the form {pattern}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "none_required": "must be null",
    "finite_number": "must be a number that is finite",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type"), "must be a list"),
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type", "mapping_type"), "must be keys with values"),
    **dict.fromkeys(("uuid_type", "uuid_parsing"), "must be an id (UUID)"),
    **dict.fromkeys(
        ("datetime_type", "datetime_parsing", "datetime_from_date_parsing", "timezone_aware"),
        "must be a time with its zone, such as 2026-01-31T12:00:00Z",
    ),
}
_SAY_ALL = {"missing", "extra_forbidden", "union_tag_not_found"}
"""Kinds whose message needs no value beside it."""


def faults_of(errors: Iterable[Mapping[str, Any]], shape: Any = None, data: Any = None) -> list[Fault]:
    """Return what is wrong, a fault a path.

    Args:
        errors: What ``ValidationError.errors()`` lists; of very many, the first ones are told.
        shape: The type that was to be filled: it knows which names a key may have.
        data: What was given. Branches of unions, which stand in no file and no body, are left out of the paths.
    """
    found: dict[str, Fault] = {}
    items = [*islice(errors, _MOST)]
    # Where a block was meant, the block's own branch of the union tells its faults.
    told = [item for item in items if item["type"] != "literal_error" or not isinstance(item["input"], dict)]
    for item in told or items:
        fault = _fault(item, shape, data)
        standing = found.setdefault(fault["path"], fault)
        if fault["message"] not in standing["message"]:
            standing["message"] += f", or: {fault['message']}"
    return [*found.values()]


def fault_line(fault: Mapping[str, Any]) -> str:
    """Return a fault as a line of text."""
    path, message, hint = (str(fault.get(key) or "") for key in ("path", "message", "hint"))
    return (f"{path}: " if path else "") + message + (f" ({hint})" if hint else "")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that was meant, or at all of them where none is near; nothing without any."""
    names = [*known]
    near = difflib.get_close_matches(name[:_LONGEST], names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are {', '.join(names)}" if 0 < len(names) <= _MOST_NAMES else ""


def _fault(item: Mapping[str, Any], shape: Any, data: Any) -> Fault:
    kind, given, location = str(item["type"]), item.get("input"), tuple(item["loc"])
    context = {name: value for name, value in (item.get("ctx") or {}).items() if name != "error"}
    path = [*(location if data is None else _in_data(location, data, kind))]
    message, hint = _message(kind, str(item["msg"]), given, context), ""
    if kind == "extra_forbidden":
        hint = nearest(str(location[-1]), _keys(_models_at(shape, location[:-1])))
    elif kind.startswith("union_tag"):
        path.append(str(context.get("discriminator", "")).strip("'"))
        if kind == "union_tag_invalid":
            hint = nearest(str(context["tag"]), _quoted(context["expected_tags"]))
    elif kind == "literal_error" and isinstance(given, str):
        near = nearest(given, _quoted(context["expected"]))
        hint = near if near.endswith("?") else ""
    elif message.startswith(_WORDS["model_type"]) and isinstance(given, str):
        hint = next((f"write {key}: {given}" for key, tag in _tags(_models_at(shape, location)) if tag == given), "")
    fault = {"path": ".".join(str(part)[:_LONGEST] for part in path), "message": message}
    return fault | ({"hint": hint} if hint else {})


def _message(kind: str, said: str, given: Any, context: Mapping[str, Any]) -> str:
    if kind == "union_tag_invalid":
        return f"there is no {str(context['tag'])[:_LONGEST_VALUE]!r}"
    if context.get("min_length") == 1 and kind in ("string_too_short", "too_short"):
        return "must not be empty"
    if kind == "value_error":
        return said.removeprefix("Value error, ")
    text = _WORDS[kind].format_map(context) if kind in _WORDS else re.sub("^Input should ", "must ", said)
    shown = isinstance(given, str | int | float) and kind not in _SAY_ALL
    return text[:1].lower() + text[1:] + (f", not {str(given)[:_LONGEST_VALUE]!r}" if shown else "")


def _in_data(location: tuple[int | str, ...], data: Any, kind: str) -> tuple[int | str, ...]:
    """Return the parts of a location that can be found in the data, or are missing there."""
    path: list[int | str] = []
    here = data
    for position, part in enumerate(location):
        absent = kind == "missing" and position == len(location) - 1
        if isinstance(here, dict) and (part in here or absent):
            path.append(part)
            here = here.get(str(part))
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            path.append(part)
            here = here[part]
    return tuple(path) or location


def _models_at(shape: Any, location: tuple[int | str, ...]) -> list[type[BaseModel]]:
    """Return the models that may stand at a location; a branch of a union is named by its tag or its class."""
    models = _models_in(shape)
    for part in location:
        if not isinstance(part, str):
            continue
        fields = [f for m in models for name, f in m.model_fields.items() if part in (name, f.alias)]
        branch = [m for m in models if part == m.__name__ or part in (tag for _, tag in _tags([m]))]
        models = [m for f in fields for m in _models_in(f.annotation)] if fields else branch or models
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


def _keys(models: Iterable[type[BaseModel]]) -> list[str]:
    return sorted({field.alias or name for model in models for name, field in model.model_fields.items()})


def _tags(models: Iterable[type[BaseModel]]) -> Iterator[tuple[str, Any]]:
    for model in models:
        for name, field in model.model_fields.items():
            if get_origin(field.annotation) is Literal:
                yield from ((field.alias or name, value) for value in get_args(field.annotation))


def _quoted(listed: str) -> list[str]:
    return re.findall(r"'([^']*)'", listed)
