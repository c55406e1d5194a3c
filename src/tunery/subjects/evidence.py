"""What other rooms are told of erasures: compliance of those of a dataset, the registry why models of a run wait."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from tunery.compliance.facts import ERASURES
from tunery.datasets.tables import DatasetVersion
from tunery.platform.db import TenantSession
from tunery.registry.holds import RUN_HOLDS
from tunery.subjects.tables import Erasure
from tunery.training.tables import TrainingRun

__all__ = ["cause_of", "erasures_of", "holds_of_run", "why_held"]


@ERASURES.register("subjects")
def erasures_of(session: TenantSession, version: DatasetVersion) -> list[dict[str, Any]]:
    """Return the erasures that reached a version's dataset, how far each came, and what it left."""
    reached = f"{version.dataset.name}:"
    return [
        {
            "erasure": row.id,
            "status": row.status,
            "certificate": row.certificate_digest,
            "spared": row.reached.get("destruction", {}).get("spared", {}),
            "foundAgain": row.reached.get("foundAgain"),
        }
        for row in session.scalars(sa.select(Erasure).order_by(Erasure.id))
        if any(one["version"].startswith(reached) for one in row.reached.get("versions", []))
    ]


@RUN_HOLDS.register("subjects")
def holds_of_run(session: TenantSession, run_id: str) -> Iterator[tuple[str, str]]:
    """Yield cause and reason for each erasure of rows that a run was given or may have been."""
    runs = sa.select(TrainingRun.not_repeatable).where(TrainingRun.id == run_id).with_for_update(read=True)
    if session.scalars(runs).one_or_none() is None:
        return
    for row in session.scalars(sa.select(Erasure).order_by(Erasure.id)):
        for one in row.reached["runs"]:
            if one["id"] == run_id:
                yield cause_of(row), why_held(one["saw"])


def cause_of(erasure: Erasure) -> str:
    """Return what a hold names as its cause."""
    return f"erasures/{erasure.id}"


def why_held(saw: str) -> str:
    """Return the reason of a hold."""
    why = "it learned from rows that were erased" if saw == "consumed" else "it may have learned such rows"
    return f"{why}; retrain it, retire it, or document an exception"
