"""What a finished pipeline says: one JSON that the table of ``tunery run`` is made of."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from tunery.evaluation.operations import get_evaluation
from tunery.evaluation.predictions import read_predictions
from tunery.evaluation.tables import Comparison
from tunery.pipelines.stages import Work
from tunery.pipelines.tables import Pipeline
from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground
from tunery.platform.jobs import JobContext
from tunery.registry.operations import verify_version

__all__ = ["build_result", "with_sample"]


def build_result(context: JobContext, work: Work, outcomes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Gather the numbers of every stage, in camelCase as answers have it."""
    registered, base, data = outcomes["register"], outcomes["base"], outcomes["import"]
    verification = verify_version(context.ground, context.tenant_id, registered["version_id"])
    with context.ground.database.session(context.tenant_id, read_only=True) as session:
        scores = _scores(session, outcomes["evaluate"])
    return {
        "model": {
            "name": registered["name"],
            "version": registered["version"],
            "reference": registered["reference"],
            "digest": registered["digest"],
            "kind": registered["kind"],
            "stage": outcomes["gate"].get("stage", "development"),
            "signature": {"keyId": verification.key_id, "verified": verification.verified},
        },
        "dataset": {key: data[key] for key in ("name", "version", "digest", "rows", "quarantined")},
        "baseModel": {"name": base["name"], "digest": base["digest"]},
        "run": _camel_run(outcomes["train"]),
        "scores": scores,
        "prompts": {
            role: prompt.model_dump(mode="json", by_alias=True)
            for role, prompt in (
                ("base", work.recipe.evaluation.prompts.base),
                ("tuned", work.recipe.evaluation.prompts.tuned),
            )
        },
        "gate": {key: outcomes["gate"][key] for key in ("decision", "criteria")},
        "deployment": outcomes["deploy"].get("deployment"),
    }


def with_sample(ground: Ground, session: TenantSession, row: Pipeline) -> dict[str, Any] | None:
    """Return a pipeline's result with one held-out row, and what the tuned model answered when it was measured.

    The row is read anew each time: what is erased from the predictions is in no result.
    """
    measured = next((stage.outcome for stage in row.stages if stage.name == "evaluate"), None)
    if row.result is None or measured is None:
        return row.result
    return row.result | {"sample": _sample(ground, session, measured["tuned"])}


def _sample(ground: Ground, session: TenantSession, evaluation_id: str) -> dict[str, Any] | None:
    digest = get_evaluation(session, evaluation_id).predictions_digest
    found = next(read_predictions(ground, session.tenant_id, digest), None) if digest else None
    if found is None:
        return None
    prompt = found["prompt"]
    asked = prompt if isinstance(prompt, str) else prompt[-1]["content"]
    return {"prompt": asked, "answer": found["prediction"], "reference": found["reference"]}


def _scores(session: TenantSession, evaluations: dict[str, Any]) -> list[dict[str, Any]]:
    rows = {role: get_evaluation(session, evaluations[role]) for role in ("base", "tuned")}
    kept = {role: {score.metric: score for score in row.scores} for role, row in rows.items()}
    statement = sa.select(Comparison).where(
        Comparison.baseline_id == evaluations["base"], Comparison.candidate_id == evaluations["tuned"]
    )
    differences = {one.metric: one for one in session.scalars(statement)}
    found = []
    for metric in rows["tuned"].metric_names:
        one = differences[metric]
        entry: dict[str, Any] = {"metric": metric, "direction": one.direction, "pValue": one.p_value, "test": one.test}
        entry["difference"] = {"value": one.difference, "low": one.ci_low, "high": one.ci_high}
        for role in ("base", "tuned"):
            score = kept[role][metric]
            entry[role] = {"value": score.value, "low": score.ci_low, "high": score.ci_high, "n": score.n}
        found.append(entry)
    return found


def _camel_run(run: dict[str, Any]) -> dict[str, Any]:
    metrics = run["metrics"]
    return {
        "id": run["run_id"],
        "steps": metrics.get("total_steps"),
        "tokensPerSecond": metrics.get("tokens_per_second"),
        "peakMemoryBytes": metrics.get("peak_memory_bytes"),
        "loss": metrics.get("final_loss"),
        "seconds": metrics.get("seconds"),
    }
