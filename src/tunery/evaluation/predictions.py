"""Predictions as kept: one JSON object a line, in the order of row ids; read and written by evaluations alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tunery.evaluation.ports import Answer
from tunery.platform.blobs import Blob
from tunery.platform.ground import Ground

__all__ = ["MEDIA_TYPE", "answers_of", "keep_predictions", "read_predictions"]

MEDIA_TYPE = "application/x-ndjson"


def keep_predictions(ground: Ground, tenant_id: str, predictions: Iterable[dict[str, Any]]) -> Blob:
    """Put predictions into the store; fields as ``PredictionView`` has them, in snake_case."""
    return ground.blobs.put(tenant_id, map(_line, predictions), MEDIA_TYPE)


def read_predictions(ground: Ground, tenant_id: str, digest: str) -> Iterator[dict[str, Any]]:
    """Yield kept predictions, verified. Raises: IntegrityError: the stored bytes are damaged."""
    for line in ground.blobs.read(tenant_id, digest).splitlines():
        yield json.loads(line)


def answers_of(predictions: Iterable[dict[str, Any]]) -> dict[str, Answer]:
    """Return predictions as answers by row id, as metrics take them."""
    return {
        row["row_id"]: Answer(
            row["prediction"],
            row["reference"],
            tuple(row["logprobs"]) if row.get("logprobs") is not None else None,
        )
        for row in predictions
    }


def _line(prediction: dict[str, Any]) -> bytes:
    # A model can write half of a surrogate pair, which no UTF-8 file and no answer can hold: it becomes "?".
    return json.dumps(prediction, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"
