"""Use cases of pipelines: start or resume, look, cancel."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from tunery import audit
from tunery.datasets.operations import resolve_version as resolve_dataset
from tunery.datasets.sources import HubSource
from tunery.datasets.sources.hub import pin_source
from tunery.errors import Erased, Forbidden, RecipeInvalid, Refused
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.kit.digests import sha256_json
from tunery.kit.ids import new_id
from tunery.pipelines.recipe import Recipe, check_splits, parse_recipe
from tunery.pipelines.schemas import PipelineStart, PipelineView, StageView
from tunery.pipelines.tables import Pipeline, PipelineStage
from tunery.pipelines.waiting import waiting_behind
from tunery.platform.db import Page, TenantSession, page_of, row_of
from tunery.platform.ground import Ground
from tunery.platform.jobs import UNFINISHED, Job, JobEvent, cancel_job, enqueue_job, retry_job
from tunery.registry.bases import BaseSource, pin_base
from tunery.registry.operations import resolve_version, use_version
from tunery.registry.tables import Model, ModelVersion
from tunery.registry.uses import MOST_NAMED, VERSION_USES

__all__ = [
    "STAGES",
    "base_source",
    "cancel_pipeline",
    "check_inputs",
    "find_by_key",
    "finish_stage",
    "get_pipeline",
    "list_pipelines",
    "pin_data",
    "pipeline_key",
    "pipeline_view",
    "start_pipeline",
]

STAGES: dict[str, str] = {
    "import": "Import and sanitise the data",
    "base": "Get the base model",
    "train": "Train",
    "register": "Sign and register",
    "evaluate": "Evaluate base and tuned",
    "gate": "Check the gate",
    "deploy": "Deploy",
}
"""The stages in order, with what people read."""


def start_pipeline(session: TenantSession, ground: Ground, actor: Actor, wish: PipelineStart) -> Pipeline:
    """Start a recipe, or return the pipeline that ran it on these inputs before: unfinished ones go on.

    Raises:
        RecipeInvalid: All faults at once; nothing was started. NotFound: an input was never uploaded, or there is no
            such base. Forbidden: The recipe deploys and the actor may not. Unavailable: the base is on the Hub, which
            does not answer.
    """
    recipe = parse_recipe(wish.recipe)
    if recipe.deployment.auto_deploy and not actor.may("deployments:create"):
        raise Forbidden("the recipe deploys (deployment.auto_deploy) and your roles do not allow deployments:create")
    check_inputs(ground, actor, recipe, wish)
    recipe = pin_data(ground, actor, recipe)
    base = pin_base(ground, actor.tenant_id, base_source(recipe, wish.inputs))
    key = pipeline_key(recipe, wish, base)
    earlier = find_by_key(session, key)
    if earlier is not None and not wish.again:
        _resume(session, earlier)
        return earlier
    _check_number(session, recipe)
    if base.kind == "registered":
        use_version(session, resolve_version(session, base.text))
    row = Pipeline(
        id=new_id(),
        key=key,
        number=earlier.number + 1 if earlier else 1,
        name=recipe.model.name,
        recipe=recipe.plain(),
        inputs=wish.inputs,
        base=base.text,
        created_by=actor.name,
        may_promote=actor.may("models:promote"),
    )
    session.add(row)
    session.flush()
    for position, name in enumerate(STAGES):
        session.add(PipelineStage(pipeline_id=row.id, position=position, name=name))
    session.flush()
    session.refresh(row, ["stages"])
    _enqueue(session, actor, row, row.stages[0])
    audit.record(session, actor, "pipeline_started", f"pipelines/{row.id}", key=key, name=row.name)
    return row


def pipeline_key(recipe: Recipe, wish: PipelineStart, base: BaseSource) -> str:
    """Return the digest of a recipe and its inputs: the names of paths and of the base do not count, their bytes do.

    Args:
        recipe: The recipe, its data pinned.
        wish: The digests of its local files.
        base: Its base, pinned.
    """
    plain = recipe.plain()
    plain["training_data"].pop("path", None)
    plain["model"].pop("base_model", None)
    section = recipe.training_data
    data = wish.inputs.get(section.path) if section.source == "file" else section.path
    return sha256_json({"recipe": plain, "data": data, "base": base.identity()})


def pin_data(ground: Ground, actor: Actor, recipe: Recipe) -> Recipe:
    """Return the recipe with the commit of its data, where they are on the Hub, or with the number of their version.

    Raises:
        RecipeInvalid: The version lacks rows that the recipe needs. Erased, NotFound: there is no such version. Others:
            as ``pin_base``.
    """
    section = recipe.training_data
    if section.source == "dataset":
        with ground.database.session(actor.tenant_id, read_only=True) as session:
            version = resolve_dataset(session, section.path)
        check_splits(recipe, version.reference, version.rows)
        pinned: dict[str, Any] = {"path": version.reference}
    elif isinstance(source := section.elsewhere, HubSource):
        pinned = {"revision": pin_source(ground, actor.tenant_id, source).revision}
    else:
        return recipe
    return recipe.model_copy(update={"training_data": section.model_copy(update=pinned)})


def base_source(recipe: Recipe, inputs: dict[str, Any]) -> BaseSource:
    """Return where a recipe's base model comes from."""
    text = recipe.model.base_model
    files = inputs.get(text)
    return BaseSource(text, files if isinstance(files, dict) else {})


def find_by_key(session: TenantSession, key: str) -> Pipeline | None:
    """Return the newest pipeline of a key."""
    statement = sa.select(Pipeline).where(Pipeline.key == key).order_by(Pipeline.number.desc())
    return session.scalars(statement).first()


def get_pipeline(session: TenantSession, pipeline_id: str) -> Pipeline:
    """Return a pipeline by id. Raises: NotFound."""
    return row_of(session, Pipeline, pipeline_id, "pipeline", "`tunery pipelines list` shows what there is")


def list_pipelines(session: TenantSession, limit: int, offset: int) -> Page[Pipeline]:
    """Return pipelines, the newest first."""
    return page_of(session, sa.select(Pipeline).order_by(Pipeline.id.desc()), limit, offset)


def cancel_pipeline(session: TenantSession, actor: Actor, pipeline_id: str) -> Pipeline:
    """End the stage that runs; running the recipe again goes on from there. Raises: Refused: it has finished."""
    row = get_pipeline(session, pipeline_id)
    current = _current(row)
    if current is None or current.job_id is None:
        raise Refused(f"pipeline {row.id} has finished; there is nothing to cancel")
    cancel_job(session, current.job_id)
    audit.record(session, actor, "pipeline_cancelled", f"pipelines/{row.id}")
    return row


def finish_stage(
    session: TenantSession, actor: Actor, row: Pipeline, stage: PipelineStage, outcome: dict[str, Any]
) -> None:
    """Write a stage's outcome and the next stage's job in one transaction; the last stage ends the pipeline."""
    stage.outcome, stage.finished_at = outcome, now()
    following = next((s for s in row.stages if s.position == stage.position + 1), None)
    if following is not None:
        _enqueue(session, actor, row, following)
    else:
        row.finished_at = now()


def pipeline_view(session: TenantSession, row: Pipeline) -> PipelineView:
    """Return a pipeline as answers show it; its status is that of its current stage's job."""
    jobs = {
        job.id: job
        for job in session.scalars(sa.select(Job).where(Job.id.in_([s.job_id for s in row.stages if s.job_id])))
    }
    current = _current(row)
    job = jobs.get(current.job_id or "") if current else None
    return PipelineView(
        id=row.id,
        key=row.key,
        number=row.number,
        name=row.name,
        status="succeeded" if current is None else (job.status if job else "queued"),
        stages=[_stage_view(stage, jobs.get(stage.job_id or "")) for stage in row.stages],
        result=row.result,
        error=job.error if job else None,
        not_repeatable=_why_not_repeatable(session, row),
        created_at=row.created_at,
        finished_at=row.finished_at,
        waiting_behind=waiting_behind(session, job) if job else None,
    )


def _check_number(session: TenantSession, recipe: Recipe) -> None:
    wanted = recipe.model.version
    statement = sa.select(ModelVersion.version).join(Model).where(Model.name == recipe.model.name)
    if wanted and wanted in session.scalars(statement).all():
        message = f"{recipe.model.name}:{wanted} stands already and versions never change; leave it out or raise it"
        raise RecipeInvalid(message, faults=[{"path": "model.version", "message": message}])


def _why_not_repeatable(session: TenantSession, row: Pipeline) -> str | None:
    """Tell that rows of the dataset version were erased since, and what to do."""
    imported = next((stage.outcome for stage in row.stages if stage.name == "import"), None)
    try:
        if imported is not None:
            resolve_dataset(session, imported["version_id"])
    except Erased as error:
        return f"{error.message}; run the recipe with --again to train without those rows"
    return None


def _stage_view(stage: PipelineStage, job: Job | None) -> StageView:
    status = "succeeded" if stage.finished_at else (job.status if job else "waiting")
    if status == "succeeded" and not stage.finished_at:
        status = "running"
    outcome = stage.outcome or {}
    return StageView(
        name=stage.name,
        title=STAGES[stage.name],
        status=status,
        job_id=stage.job_id,
        seconds=job.seconds if job and job.started_at else None,
        detail=outcome.get("detail"),
    )


def _current(row: Pipeline) -> PipelineStage | None:
    return next((stage for stage in row.stages if stage.finished_at is None), None)


def _resume(session: TenantSession, row: Pipeline) -> None:
    current = _current(row)
    if current is not None and current.job_id is not None:
        _tell_wait(session, retry_job(session, current.job_id))


def _enqueue(session: TenantSession, actor: Actor, row: Pipeline, stage: PipelineStage) -> None:
    payload = {"pipeline_id": row.id, "stage": stage.name}
    job = enqueue_job(session, actor, "pipelines.stage", payload, f"pipelines/{row.id}")
    stage.job_id = job.id
    _tell_wait(session, job)


def _tell_wait(session: TenantSession, job: Job) -> None:
    if (behind := waiting_behind(session, job)) is not None:
        data = {"type": "waiting", **behind.model_dump(exclude_none=True)}
        session.add(JobEvent(job_id=job.id, data=data, at=now()))


def check_inputs(ground: Ground, actor: Actor, recipe: Recipe, wish: PipelineStart) -> None:
    """Check that all local files were uploaded. Raises: RecipeInvalid: names those missing. NotFound: a digest."""
    faults = [
        {"path": path, "message": "was not uploaded; send its digest in `inputs`"}
        for path in recipe.local_paths()
        if path not in wish.inputs
    ]
    if faults:
        raise RecipeInvalid("; ".join(f"{f['path']}: {f['message']}" for f in faults), faults=faults)
    for entry in wish.inputs.values():
        for digest in [entry] if isinstance(entry, str) else entry.values():
            ground.blobs.claim(actor.tenant_id, digest)


@VERSION_USES.register("pipeline")
def _pipelines_with(session: TenantSession, version: ModelVersion) -> list[str]:
    """Return the pipelines under way that a version is the base of, or that made it and go on with it."""
    statement = sa.select(Pipeline).join(PipelineStage).join(Job, Job.id == PipelineStage.job_id)
    statement = statement.where(Pipeline.finished_at.is_(None), Job.status.in_(UNFINISHED)).order_by(Pipeline.id)
    known = (version.id, version.reference)
    return [
        f"{row.name} ({row.id})"
        for row in session.scalars(statement).unique()
        if row.base in known or any((stage.outcome or {}).get("version_id") == version.id for stage in row.stages)
    ][:MOST_NAMED]
