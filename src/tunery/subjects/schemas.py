"""Shapes of tracing and erasing."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from tunery.platform.http import Camel

__all__ = [
    "Decision",
    "EraseWish",
    "ErasureView",
    "HoldView",
    "Saw",
    "SeenBy",
    "SeenRow",
    "SubjectWish",
    "Trace",
]

Saw = Literal["consumed", "unknown"]


class SubjectWish(Camel):
    """Whom it is about."""

    identifier: str = Field(
        min_length=3,
        max_length=500,
        description="An e-mail address, telephone number, card, IBAN, number of an identity, or what a declared "
        "subject column holds. It is kept nowhere.",
    )


class EraseWish(SubjectWish):
    """Whose rows are to be erased, and why."""

    reason: str = Field("", max_length=2000, description="For the record, such as the request's number. Name nobody.")


class SeenRow(Camel):
    """A row about the person."""

    dataset: str
    row_id: str
    split: str
    versions: list[str] = Field(description="Versions that hold it, such as `tickets:3`.")


class SeenBy(Camel):
    """Something that saw such rows."""

    kind: str = Field(description="run, evaluation, model_version, deployment, download, export or reading.")
    id: str
    name: str
    saw: Saw = Field(
        "consumed",
        description="`consumed`: it took in such a row, or stands on what did. `unknown`: it ended before it could say "
        "which rows it took in.",
    )
    by: str | None = Field(None, description="Who took a copy.")
    at: datetime | None = None


class Trace(Camel):
    """Everything that saw a person's rows, exact for the identifiers that the detectors find."""

    rows: list[SeenRow]
    sources: dict[str, list[int]] = Field(description="Lines of source files that name the person, by their digest.")
    seen_by: list[SeenBy]
    not_indexed: list[str] = Field(
        description="Versions with rows that no import looked at for people: nothing is known of those."
    )
    normalizer: str = Field(description="Version of the rule by which identifiers are spelled.")


class ErasureView(Camel):
    """An erasure."""

    id: str
    status: Literal["decided", "destroyed", "certified"]
    reason: str
    reached: dict[str, Any]
    certificate_digest: str | None
    created_by: str
    created_at: datetime
    certified_at: datetime | None


class HoldView(Camel):
    """A model version on hold, and what was decided."""

    version_id: str
    reason: str
    decision: str | None
    note: str
    decided_by: str | None
    decided_at: datetime | None


class Decision(Camel):
    """What becomes of a model that learned from erased rows."""

    version: str = Field(max_length=300, description="The model version on hold, such as `chat:1.0.0`, or its id.")
    decision: Literal["retrain", "retire", "exception"] = Field(
        description="`retrain` it without the rows, `retire` it, or keep it with a documented `exception`."
    )
    note: str = Field(min_length=10, max_length=4000, description="Why, for the record.")
