"""``json_valid``: the share of predictions that are JSON, whatever the reference says.

The whole prediction must be one JSON text (white space around it is fine): no fence, no sentence before it, no
``NaN``. What is nested too deep to be read, or holds a number too long to be read, is not valid.

Source: RFC 8259, sections 2 and 9.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from tunery.evaluation.metrics import METRICS
from tunery.evaluation.row_mean import RowMean

__all__ = ["json_valid", "read_json"]


def read_json(text: str) -> Any:
    """Read one JSON text. Raises: ValueError: it is none."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError as deep:
        raise ValueError("nested too deep") from deep


def json_valid(prediction: str, reference: str) -> float:
    """Tell whether the prediction is JSON: 1 or 0."""
    try:
        read_json(prediction)
    except ValueError:
        return 0.0
    return 1.0


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


METRICS.register("json_valid")(RowMean("json_valid", "higher", json_valid, binary=True))
