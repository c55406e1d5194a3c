"""``json_field_f1``: how many fields of a JSON object are right, averaged over rows.

Both sides are flattened to pairs of path and value: ``{"a": {"b": [1, 2]}}`` is ``a.b.0 = 1`` and ``a.b.1 = 2`` (keys
are kept apart from the dots inside them); an empty object or list is a value. A pair is right when path and value are
equal: strings character for character, numbers by value (``1`` is ``1.0``), true and false only as themselves. The
row's F1 is 2·right / (predicted pairs + reference pairs). A prediction that is no JSON object has no pairs and so
scores 0; two empty objects score 1. A reference that is no JSON object is an error: the metric does not fit the data.

Source: F1 over sets, van Rijsbergen 1979, "Information Retrieval", chapter 7, with slot = (path, value) as in the slot
F1 of information extraction (MUC-5, Chinchor and Sundheim 1993); mean over rows.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from tunery.errors import InvalidInput
from tunery.evaluation.metrics import METRICS
from tunery.evaluation.metrics.json_valid import read_json
from tunery.evaluation.row_mean import RowMean

__all__ = ["json_field_f1"]

Pair: TypeAlias = tuple[tuple[str | int, ...], tuple[str, Any]]


def json_field_f1(prediction: str, reference: str) -> float:
    """Return the F1 of right fields, 0 to 1. Raises: InvalidInput: the reference is no JSON object."""
    wanted = _pairs(reference)
    if wanted is None:
        raise InvalidInput(f"the reference {reference[:80]!r} is no JSON object; choose another metric for such rows")
    given = _pairs(prediction)
    if given is None:
        return 0.0
    total = len(given) + len(wanted)
    return 2 * len(given & wanted) / total if total else 1.0


def _pairs(text: str) -> set[Pair] | None:
    try:
        value = read_json(text)
    except ValueError:
        return None
    return _flatten(value) if isinstance(value, dict) else None


def _flatten(root: dict[str, Any]) -> set[Pair]:
    pairs: set[Pair] = set()
    waiting: list[tuple[tuple[str | int, ...], Any]] = list(_children((), root))
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict | list) and value:
            waiting.extend(_children(path, value))
        else:
            pairs.add((path, _comparable(value)))
    return pairs


def _children(
    path: tuple[str | int, ...], value: dict[str, Any] | list[Any]
) -> list[tuple[tuple[str | int, ...], Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [((*path, key), child) for key, child in items]


def _comparable(value: Any) -> tuple[str, Any]:
    """Tag the value with its JSON type: True equals 1 in Python, but not in JSON."""
    if isinstance(value, dict | list):
        return type(value).__name__, None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number", value
    return type(value).__name__, value


METRICS.register("json_field_f1")(RowMean("json_field_f1", "higher", json_field_f1))
