"""Use cases of evaluations: ask for one, look at it, keep a comparison. The work itself is in ``runs.py``."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from tunery import audit
from tunery.datasets.operations import hold_version as hold_dataset
from tunery.errors import InvalidInput, Refused
from tunery.evaluation.metrics import metrics_by_name
from tunery.evaluation.predictions import answers_of, read_predictions
from tunery.evaluation.rows import find_dataset
from tunery.evaluation.schemas import EvaluationCreate
from tunery.evaluation.statistics import Difference, compare
from tunery.evaluation.tables import Comparison, Evaluation
from tunery.kit.actor import Actor
from tunery.kit.ids import new_id
from tunery.platform.db import Page, TenantSession, page_of, row_of
from tunery.platform.events import emit
from tunery.platform.ground import Ground
from tunery.platform.jobs import UNFINISHED, Job, enqueue_job
from tunery.registry.operations import resolve_version, use_version
from tunery.registry.tables import ModelVersion
from tunery.registry.uses import MOST_NAMED, VERSION_USES

__all__ = [
    "create_evaluation",
    "get_evaluation",
    "keep_comparison",
    "list_evaluations",
    "measure_difference",
    "newest_evaluation",
    "submit_evaluation",
]


def create_evaluation(
    session: TenantSession, ground: Ground, actor: Actor, wish: EvaluationCreate, *, evaluation_id: str | None = None
) -> Evaluation:
    """Write an evaluation that ``execute_evaluation`` then carries out; nothing is enqueued.

    Args:
        session: The deed's session.
        ground: The ground; its settings name the engine where the wish does not.
        actor: Who asks.
        wish: What to measure.
        evaluation_id: An id of the caller's choosing makes the call repeatable: what stands under it is returned.

    Raises:
        NotFound: No such version, dataset or split. Erased: rows of the dataset version were.
        InvalidInput: names what cannot be measured so.
    """
    if evaluation_id is not None and (standing := session.get(Evaluation, evaluation_id)) is not None:
        return standing
    data = find_dataset(session, hold_dataset(session, wish.dataset).id, wish.split)
    version = resolve_version(session, wish.model_version_id)
    use_version(session, version)
    row = Evaluation(
        id=evaluation_id or new_id(),
        model_version_id=version.id,
        model_reference=version.reference,
        model_digest=version.manifest_digest,
        benchmark_name=data.name,
        benchmark_version=data.version,
        dataset_version_id=data.version_id,
        dataset_digest=data.digest,
        split=wish.split,
        metric_names=list(wish.metrics),
        prompt=wish.prompt.model_dump(mode="json"),
        engine=wish.engine or ground.settings.engine,
        max_rows=wish.max_rows,
        max_tokens=wish.prompt.max_tokens or wish.max_tokens,
        created_by=actor.name,
    )
    session.add(row)
    session.flush()
    session.refresh(row, ["score_rows"])
    audit.record(session, actor, "evaluation_created", f"evaluations/{row.id}", model=row.model_reference)
    return row


def submit_evaluation(session: TenantSession, ground: Ground, actor: Actor, wish: EvaluationCreate) -> Evaluation:
    """Write an evaluation together with the job that carries it out. Raises: as ``create_evaluation``."""
    row = create_evaluation(session, ground, actor, wish)
    row.job_id = enqueue_job(session, actor, "evaluations.run", {"evaluation_id": row.id}, f"evaluations/{row.id}").id
    return row


def get_evaluation(session: TenantSession, evaluation_id: str) -> Evaluation:
    """Return an evaluation. Raises: NotFound."""
    return row_of(session, Evaluation, evaluation_id, "evaluation", "`tunery evaluations list` shows what there is")


def list_evaluations(
    session: TenantSession, model: str | None = None, limit: int = 50, offset: int = 0
) -> Page[Evaluation]:
    """Return evaluations, the newest first; of one version where it is given. Raises: NotFound: no such version."""
    statement = sa.select(Evaluation).order_by(Evaluation.id.desc())
    if model is not None:
        statement = statement.where(Evaluation.model_version_id == resolve_version(session, model).id)
    return page_of(session, statement, limit, offset)


def newest_evaluation(
    session: TenantSession, version_id: str, *, same_rows_as: Evaluation | None = None
) -> Evaluation | None:
    """Return a version's newest completed evaluation, on the very rows of another one where that is given."""
    statement = sa.select(Evaluation).where(Evaluation.model_version_id == version_id, Evaluation.status == "completed")
    if same_rows_as is not None:
        statement = statement.where(
            Evaluation.dataset_version_id == same_rows_as.dataset_version_id,
            Evaluation.split == same_rows_as.split,
            Evaluation.rows_digest == same_rows_as.rows_digest,
        )
    return session.scalars(statement.order_by(Evaluation.evaluated_at.desc(), Evaluation.id.desc())).first()


def measure_difference(
    ground: Ground, tenant_id: str, baseline_id: str, candidate_id: str, metrics: Sequence[str] | None = None
) -> list[Difference]:
    """Compare two completed evaluations row by row. Computes for seconds: it opens and closes sessions of its own.

    Args:
        ground: The ground.
        tenant_id: Whose evaluations these are.
        baseline_id: What is compared against.
        candidate_id: What may be better.
        metrics: Names to compare; every metric that both have where not given.

    Raises:
        NotFound: One is missing. Refused: one is not completed. InvalidInput: they measured different rows (says how
        many), or share no metric.
    """
    with ground.database.session(tenant_id, read_only=True) as session:
        pair = [get_evaluation(session, evaluation_id) for evaluation_id in (baseline_id, candidate_id)]
    baseline, candidate = pair
    digests = []
    for row in pair:
        if row.status != "completed":
            raise Refused(f"evaluation {row.id} is {row.status}; only completed evaluations can be compared")
        if row.predictions_digest is None:
            raise Refused(f"the predictions of evaluation {row.id} went with rows that were erased; evaluate again")
        digests.append(row.predictions_digest)
    if (baseline.dataset_version_id, baseline.split) != (candidate.dataset_version_id, candidate.split):
        raise InvalidInput(
            f"the baseline was measured on {_data(baseline)}, the candidate on {_data(candidate)}; compare evaluations "
            "of the same rows of one dataset version"
        )
    shared = [name for name in candidate.metric_names if name in baseline.metric_names]
    names = shared if metrics is None else [name for name in metrics if name in shared]
    if not names:
        raise InvalidInput("the two evaluations have no metric in common")
    left, right = (answers_of(read_predictions(ground, tenant_id, digest)) for digest in digests)
    return [compare(metric, left, right) for metric in metrics_by_name(names)]


def keep_comparison(
    session: TenantSession, actor: Actor, baseline_id: str, candidate_id: str, differences: Sequence[Difference]
) -> list[Comparison]:
    """Keep measured differences with their evaluations. Keeping the same comparison again changes nothing."""
    candidate = get_evaluation(session, candidate_id)
    baseline_id, candidate_id = get_evaluation(session, baseline_id).id, candidate.id
    statement = sa.select(Comparison).where(
        Comparison.baseline_id == baseline_id, Comparison.candidate_id == candidate_id
    )
    standing = {row.metric: row for row in session.scalars(statement)}
    fresh = [_comparison(baseline_id, candidate_id, one) for one in differences if one.metric not in standing]
    if fresh:
        session.add_all(fresh)
        session.flush()
        standing |= {row.metric: row for row in fresh}
        candidate.baseline_comparison = {
            "baseline_evaluation_id": baseline_id,
            "metrics": {row.metric: _summary(row) for row in standing.values()},
        }
        audit.record(session, actor, "evaluations_compared", f"evaluations/{candidate_id}", baseline=baseline_id)
        emit(session, actor, "evaluations.compared", f"evaluations/{candidate_id}", {"baseline_id": baseline_id})
    return [standing[one.metric] for one in differences]


def _comparison(baseline_id: str, candidate_id: str, one: Difference) -> Comparison:
    return Comparison(
        baseline_id=baseline_id,
        candidate_id=candidate_id,
        metric=one.metric,
        direction=one.direction,
        baseline=one.baseline,
        candidate=one.candidate,
        difference=one.value,
        ci_low=one.ci_low,
        ci_high=one.ci_high,
        p_value=one.p_value,
        test=one.test,
        n=one.n,
    )


def _summary(row: Comparison) -> dict[str, float | int | str | None]:
    fields = ("baseline", "candidate", "difference", "ci_low", "ci_high", "p_value", "test", "n")
    return {field: getattr(row, field) for field in fields}


def _data(row: Evaluation) -> str:
    return f"{row.benchmark_name}:{row.benchmark_version} ({row.split})"


@VERSION_USES.register("evaluation")
def _evaluations_of(session: TenantSession, version: ModelVersion) -> list[str]:
    """Return the ids of evaluations of a version that are queued or under way; a pipeline's are that one's."""
    statement = sa.select(Evaluation.id).join(Job, Job.id == Evaluation.job_id)
    statement = statement.where(
        Evaluation.model_version_id == version.id, Evaluation.status != "completed", Job.status.in_(UNFINISHED)
    )
    return list(session.scalars(statement.order_by(Evaluation.id).limit(MOST_NAMED)))
