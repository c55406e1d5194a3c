"""Evaluations, their scores, and comparisons of two of them.

An evaluation row is written before its work begins; a crash leaves it ``running`` with its answers in the work folder,
and the job goes on from there. Scores, predictions digest and ``completed`` are written in one transaction; a completed
evaluation never changes but for ``baseline_comparison``, which repeats its newest comparison. Comparisons are written
once and never changed. Erasure: rows go with their tenant, predictions with their blob. All rows belong to one tenant.
New metrics are new rows of ``scores``; ``prompt`` and ``usage`` are JSON that takes next year's fields.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tunery.platform.db import Base, Identified, TenantOwned, names_blobs
from tunery.platform.db.base import Uuid

__all__ = ["Comparison", "Evaluation", "EvaluationScore"]


class Evaluation(Identified, TenantOwned, Base):
    """One model version measured on one split of one dataset version (R1's ``evaluation_results``).

    ``overall_score`` is the score of the first metric asked for; ``evaluation_duration`` is in seconds and sums the
    attempts; ``rows_digest`` is the SHA-256 of the measured row ids, so that equal digests mean the same rows.
    """

    __tablename__ = "evaluations"
    __table_args__ = (
        sa.Index("ix_evaluations_version", "tenant_id", "model_version_id", "status"),
        sa.Index("ix_evaluations_benchmark", "tenant_id", "benchmark_name"),
    )

    model_version_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("model_versions.id"))
    model_reference: Mapped[str] = mapped_column(sa.String(200))
    model_digest: Mapped[str] = mapped_column(sa.String(64))
    evaluation_type: Mapped[str] = mapped_column(sa.String(50), default="dataset")
    benchmark_name: Mapped[str] = mapped_column(sa.String(100))
    benchmark_version: Mapped[str] = mapped_column(sa.String(50))
    dataset_version_id: Mapped[str] = mapped_column(Uuid)
    dataset_digest: Mapped[str] = mapped_column(sa.String(64))
    split: Mapped[str] = mapped_column(sa.String(50))
    metric_names: Mapped[list[str]]
    prompt: Mapped[dict[str, Any]]
    shot_row_ids: Mapped[list[str] | None]
    engine: Mapped[str] = mapped_column(sa.String(50))
    max_rows: Mapped[int | None]
    max_tokens: Mapped[int]
    status: Mapped[str] = mapped_column(sa.String(20), default="pending")
    failure_reason: Mapped[str | None] = mapped_column(sa.Text)
    overall_score: Mapped[float | None]
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    task_scores: Mapped[list[Any]] = mapped_column(default=list)
    baseline_comparison: Mapped[dict[str, Any] | None]
    sample_count: Mapped[int | None]
    rows_digest: Mapped[str | None] = mapped_column(sa.String(64))
    predictions_digest: Mapped[str | None] = mapped_column(sa.String(64), info=names_blobs())
    usage: Mapped[dict[str, Any]] = mapped_column(default=dict)
    evaluation_duration: Mapped[float] = mapped_column(default=0.0)
    job_id: Mapped[str | None] = mapped_column(Uuid)
    created_by: Mapped[str] = mapped_column(sa.String(320))
    evaluated_at: Mapped[datetime | None]

    score_rows: Mapped[list[EvaluationScore]] = relationship(lazy="selectin")

    @property
    def scores(self) -> list[EvaluationScore]:
        """The scores in the order in which the metrics were asked for."""
        return sorted(self.score_rows, key=lambda score: self.metric_names.index(score.metric))


class EvaluationScore(Identified, TenantOwned, Base):
    """One metric of an evaluation with its 95 % interval."""

    __tablename__ = "scores"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "evaluation_id", "metric"),)

    evaluation_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("evaluations.id", ondelete="CASCADE"), index=True)
    metric: Mapped[str] = mapped_column(sa.String(100))
    direction: Mapped[str | None] = mapped_column(sa.String(10))
    value: Mapped[float]
    ci_low: Mapped[float | None]
    ci_high: Mapped[float | None]
    n: Mapped[int]


class Comparison(Identified, TenantOwned, Base):
    """One metric of a candidate minus that of a baseline, over the same rows."""

    __tablename__ = "comparisons"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "baseline_id", "candidate_id", "metric"),)

    baseline_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("evaluations.id", ondelete="CASCADE"), index=True)
    candidate_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("evaluations.id", ondelete="CASCADE"), index=True)
    metric: Mapped[str] = mapped_column(sa.String(100))
    direction: Mapped[str | None] = mapped_column(sa.String(10))
    baseline: Mapped[float]
    candidate: Mapped[float]
    difference: Mapped[float]
    ci_low: Mapped[float | None]
    ci_high: Mapped[float | None]
    p_value: Mapped[float]
    test: Mapped[str] = mapped_column(sa.String(50))
    n: Mapped[int]
