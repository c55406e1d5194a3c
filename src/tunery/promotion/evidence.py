"""Find what was measured of a version and of the baselines that a gate names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunery.errors import InvalidInput, NotFound
from tunery.evaluation.operations import get_evaluation, measure_difference, newest_evaluation
from tunery.evaluation.statistics import Difference, Score
from tunery.evaluation.tables import Evaluation
from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground
from tunery.promotion.rules import Evidence
from tunery.promotion.schemas import Criterion
from tunery.registry.operations import resolve_version
from tunery.registry.tables import ModelVersion

__all__ = ["Gathered", "gather_evidence"]


@dataclass(frozen=True)
class Gathered:
    """Evidence on one version, and where it came from.

    Attributes:
        version_id: The version.
        manifest_digest: Its digest when the evidence was read.
        evidence: What the rules judge.
        evaluations: The evaluations read, by role: ``candidate`` and each baseline's name.
        differences: What was measured against each baseline.
    """

    version_id: str
    manifest_digest: str
    evidence: Evidence
    evaluations: dict[str, Evaluation]
    differences: dict[str, list[Difference]]


def gather_evidence(
    ground: Ground, tenant_id: str, version: str, criteria: Sequence[Criterion], evaluation_id: str | None = None
) -> Gathered:
    """Read the scores of a version and measure its differences. Computes for seconds: it holds no session meanwhile.

    What was never measured is simply not in the evidence; the rules call it missing. A baseline counts only by an
    evaluation of the very rows that the version was measured on.

    Args:
        ground: The ground.
        tenant_id: Whose version it is.
        version: Reference or id.
        criteria: They name metrics and baselines.
        evaluation_id: Evaluation to judge; the version's newest completed one where not given.

    Raises:
        NotFound: No such version or evaluation. InvalidInput: the evaluation is of another version, or not completed.
    """
    with ground.database.session(tenant_id, read_only=True) as session:
        row = resolve_version(session, version)
        candidate = _candidate(session, row, evaluation_id)
        found = {"candidate": candidate} if candidate else {}
        if candidate:
            for name in {c.baseline: None for c in criteria if c.margin is not None}:
                baseline = _baseline(session, row, name)
                measured = newest_evaluation(session, baseline.id, same_rows_as=candidate) if baseline else None
                if measured is not None:
                    found[name] = measured
    differences = {
        name: measure_difference(ground, tenant_id, measured.id, found["candidate"].id, shared)
        for name, measured in found.items()
        if name != "candidate" and (shared := _shared_metrics(criteria, name, measured, found["candidate"]))
    }
    scores = {
        one.metric: Score(one.metric, one.direction, one.value, one.ci_low, one.ci_high, one.n)  # type: ignore[arg-type]
        for one in (candidate.scores if candidate else [])
    }
    by_key = {(one.metric, name): one for name, many in differences.items() for one in many}
    return Gathered(row.id, row.manifest_digest, Evidence(scores, by_key), found, differences)


def _candidate(session: TenantSession, version: ModelVersion, evaluation_id: str | None) -> Evaluation | None:
    if evaluation_id is None:
        return newest_evaluation(session, version.id)
    row = get_evaluation(session, evaluation_id)
    if row.model_version_id != version.id or row.status != "completed":
        raise InvalidInput(
            f"evaluation {row.id} is of {row.model_reference} and {row.status}; a completed one of {version.reference} "
            "is needed"
        )
    return row


def _baseline(session: TenantSession, version: ModelVersion, name: str) -> ModelVersion | None:
    if name == "base":
        return session.get(ModelVersion, version.base_version_id) if version.base_version_id else None
    try:
        return resolve_version(session, name)
    except NotFound:
        return None


def _shared_metrics(
    criteria: Sequence[Criterion], baseline: str, measured: Evaluation, candidate: Evaluation
) -> list[str]:
    wanted = {c.metric: None for c in criteria if c.margin is not None and c.baseline == baseline}
    return [m for m in wanted if m in measured.metric_names and m in candidate.metric_names]
