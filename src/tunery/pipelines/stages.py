"""The stages of a pipeline: each calls the rooms below and returns, by id, what it made.

Every function may be called again after a crash: ids that it hands down are made of the pipeline's own (UUIDv5), so
what stands already is found again and not made twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tunery.datasets.imports import execute_fetch, execute_import
from tunery.datasets.licensing.expressions import NOT_STATED
from tunery.datasets.licensing.verdicts import licence_verdict
from tunery.datasets.operations import resolve_version as resolve_dataset
from tunery.datasets.origins import Account
from tunery.datasets.views import DatasetFetch, DatasetImport
from tunery.evaluation.operations import create_evaluation, keep_comparison, measure_difference
from tunery.evaluation.runs import execute_evaluation
from tunery.evaluation.schemas import EvaluationCreate
from tunery.kit.units import format_bytes, format_seconds
from tunery.lineage.operations import Node, link
from tunery.pipelines.recipe import Recipe, check_splits
from tunery.platform.jobs import JobContext
from tunery.promotion.evidence import gather_evidence
from tunery.promotion.operations import keep_verdict, promote_version
from tunery.promotion.schemas import Promotion
from tunery.registry.bases import BaseSource, obtain_base
from tunery.registry.operations import prepare_version, register_version, resolve_version
from tunery.registry.operations.register import node_of
from tunery.registry.schemas import ArtifactFile, RegisterVersion
from tunery.serving.jobs import execute_deployment
from tunery.serving.operations import deploy_version
from tunery.serving.schemas import DeploymentCreate
from tunery.training.operations import create_run
from tunery.training.runs import execute_run
from tunery.training.schemas import TrainingSection
from tunery.training.views import RunCreate

__all__ = ["STAGE_FUNCTIONS", "Work"]


@dataclass(frozen=True)
class Work:
    """What a stage knows: the recipe, its inputs and pinned base, and what the stages before it made."""

    pipeline_id: str
    recipe: Recipe
    inputs: dict[str, Any]
    base: BaseSource
    outcomes: dict[str, dict[str, Any]]
    may_promote: bool

    def own_id(self, purpose: str) -> str:
        """Return an id that is the same each time this pipeline asks for this purpose."""
        return str(uuid.uuid5(uuid.UUID(self.pipeline_id), purpose))


def import_data(context: JobContext, work: Work) -> dict[str, Any]:
    """Import the data as a dataset version: sanitised, split, with its provenance; or find the one that is named."""
    recipe, section = work.recipe, work.recipe.training_data
    options = section.import_options(recipe.sanitize, recipe.seed)
    said = {name: getattr(section, name) for name in Account.model_fields}
    if section.source == "dataset":
        with context.session() as session:
            version = resolve_dataset(session, section.path)
    elif (source := section.elsewhere) is not None:
        version = execute_fetch(
            context,
            DatasetFetch(name=section.dataset_name, source=source, options=options, **said),
            any_standing=True,
        )
    else:
        wish = DatasetImport(
            name=section.dataset_name,
            file_digest=work.inputs[section.path],
            file_name=section.file_name,
            options=options,
            url=section.url,
            **said,
        )
        version = execute_import(context, wish, any_standing=True)
    check_splits(recipe, version.reference, version.rows)
    rows = ", ".join(f"{count} {split}" for split, count in version.rows.items())
    return {
        "version_id": version.id,
        "name": version.dataset.name,
        "version": version.version,
        "digest": version.digest,
        "rows": version.rows,
        "quarantined": version.quarantined,
        "detail": f"{version.reference}: {rows}" + (f"; {version.quarantined} set aside" * bool(version.quarantined)),
    }


def train(context: JobContext, work: Work) -> dict[str, Any]:
    """Train, or go on from the last checkpoint."""
    recipe = work.recipe
    wish = RunCreate(
        name=recipe.model.name,
        dataset=work.outcomes["import"]["version_id"],
        base=work.outcomes["base"]["version_id"],
        training=TrainingSection(**{name: getattr(recipe, name) for name in TrainingSection.model_fields}),
        save_best_model=recipe.evaluation.save_best_model,
    )
    with context.session() as session:
        run_id = create_run(session, context.actor, wish, run_id=work.own_id("run")).id
    run = execute_run(context, run_id)
    speed, seconds = run.metrics["tokens_per_second"], run.metrics["seconds"]
    return {
        "run_id": run.id,
        "files": [{"path": file["path"], "digest": file["digest"]} for file in run.files],
        "metrics": run.metrics,
        "detail": f"{run.metrics['total_steps']} steps in {format_seconds(seconds)}, {speed:.0f} tokens/s",
    }


def get_base(context: JobContext, work: Work) -> dict[str, Any]:
    """Get the base model: find it, or fetch, convert and register it."""
    version = obtain_base(context, work.base)
    return {
        "version_id": version.id,
        "name": version.reference,
        "digest": version.manifest_digest,
        "detail": f"{version.reference}, {format_bytes(version.size_bytes)}",
    }


def register(context: JobContext, work: Work) -> dict[str, Any]:
    """Sign the trained files and register them as a version in development."""
    recipe, run = work.recipe, work.outcomes["train"]
    files = [ArtifactFile(**file) for file in run["files"]]
    prepared = prepare_version(context.ground, context.tenant_id, files)
    with context.session() as session:
        base = resolve_version(session, work.outcomes["base"]["version_id"])
        sources = resolve_dataset(session, work.outcomes["import"]["version_id"]).provenance["sources"]
        licensing = licence_verdict(sources, base.model.license or NOT_STATED, recipe.model.license)
        wish = RegisterVersion(
            files=files,
            version=recipe.model.version,
            description=recipe.model.description,
            tags=recipe.model.tags,
            license=recipe.model.license,
            metadata={
                "training": run["metrics"],
                "method": recipe.method,
                "recipe_key": work.outcomes["key"]["key"],
                "licensing": licensing.model_dump(mode="json", by_alias=True),
            },
        )
        version = register_version(
            session,
            context.ground,
            context.actor,
            recipe.model.name,
            wish,
            prepared,
            base=base,
            run_id=run["run_id"],
        )
        link(session, Node("run", run["run_id"]), node_of(version), "produced_by")
    return {
        "version_id": version.id,
        "reference": version.reference,
        "name": recipe.model.name,
        "version": version.version,
        "kind": version.kind,
        "digest": version.manifest_digest,
        "detail": f"{version.reference}, {format_bytes(version.size_bytes)}, sha256:{version.manifest_digest[:12]}"
        + ("" if licensing.verdict == "pass" else f"; licences: {licensing.verdict}, {licensing.reasons[0].text}"),
    }


def evaluate(context: JobContext, work: Work) -> dict[str, Any]:
    """Measure base and tuned model on the same held-out rows, and their difference."""
    section = work.recipe.evaluation
    ids = {}
    for role, version_id, prompt in (
        ("base", work.outcomes["base"]["version_id"], section.prompts.base),
        ("tuned", work.outcomes["register"]["version_id"], section.prompts.tuned),
    ):
        wish = EvaluationCreate(
            model_version_id=version_id,
            dataset=work.outcomes["import"]["version_id"],
            metrics=section.metrics,
            prompt=prompt,
            engine=section.engine,
            max_rows=section.max_rows,
            max_tokens=section.max_tokens,
        )
        with context.session() as session:
            row = create_evaluation(
                session, context.ground, context.actor, wish, evaluation_id=work.own_id(f"evaluation-{role}")
            )
        ids[role] = execute_evaluation(context, row.id).id
    differences = measure_difference(context.ground, context.tenant_id, ids["base"], ids["tuned"])
    with context.session() as session:
        keep_comparison(session, context.actor, ids["base"], ids["tuned"], differences)
    lead = differences[0]
    return {
        **ids,
        "detail": f"{lead.metric}: {lead.baseline:.3f} -> {lead.candidate:.3f} on {lead.n} rows",
    }


def check_gate(context: JobContext, work: Work) -> dict[str, Any]:
    """Hold the version against the recipe's gate; a pass moves it to staging where the one who started it may."""
    if work.recipe.gate is None:
        return {"decision": "none", "criteria": [], "detail": "the recipe has no gate"}
    criteria = work.recipe.gate.criteria
    reference = work.outcomes["register"]["version_id"]
    gathered = gather_evidence(
        context.ground, context.tenant_id, reference, criteria, work.outcomes["evaluate"]["tuned"]
    )
    with context.session() as session:
        verdict = keep_verdict(session, context.actor, gathered, criteria, work.recipe.model.name)
        stage = resolve_version(session, reference).stage
        if verdict.passed and work.may_promote:
            for to_stage in {"development": ("testing", "staging"), "testing": ("staging",)}.get(stage, ()):
                wish = Promotion(to_stage=to_stage, verdict_id=verdict.id)
                stage = promote_version(session, context.actor, reference, wish).stage
    passed = sum(f["outcome"] == "pass" for f in verdict.findings)
    return {
        "verdict_id": verdict.id,
        "decision": "pass" if verdict.passed else "fail",
        "criteria": [
            {"metric": f["criterion"]["metric"], "outcome": f["outcome"], "reason": f["reason"]}
            for f in verdict.findings
        ],
        "stage": stage,
        "detail": f"{'passed' if verdict.passed else 'did not pass'}: {passed} of {len(verdict.findings)} criteria",
    }


def deploy(context: JobContext, work: Work) -> dict[str, Any]:
    """Deploy the version if the recipe asks for it and the gate has passed; wait until it answers."""
    section, registered = work.recipe.deployment, work.outcomes["register"]
    if not section.auto_deploy:
        return {"deployment": None, "detail": "the recipe does not ask for it (deployment.auto_deploy)"}
    if work.outcomes["gate"]["decision"] == "fail":
        return {"deployment": None, "detail": "not deployed: the gate did not pass"}
    wish = DeploymentCreate(
        version=registered["version_id"],
        name=section.name,
        environment=section.environment,
        target=section.deployment_target,
        engine=section.engine,
        health_check_enabled=section.health_check_enabled,
    )
    with context.session() as session:
        row = deploy_version(session, context.ground, context.actor, wish)
    view = execute_deployment(context, row.id)
    return {
        "deployment": {"name": view.name, "endpoint": view.endpoint, "status": view.status},
        "detail": f"{view.name} answers at {view.endpoint}",
    }


StageFunction = Callable[[JobContext, Work], dict[str, Any]]
STAGE_FUNCTIONS: dict[str, StageFunction] = {
    "import": import_data,
    "base": get_base,
    "train": train,
    "register": register,
    "evaluate": evaluate,
    "gate": check_gate,
    "deploy": deploy,
}
