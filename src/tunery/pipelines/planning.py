"""What a recipe would do, how long and in how much memory. Everything is done in a scratch folder; nothing is kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunery.datasets.build import Built, build_rows
from tunery.datasets.formats import guess_format
from tunery.datasets.operations import resolve_version as resolve_dataset
from tunery.datasets.operations import rows_of
from tunery.datasets.quarantine import Quarantine
from tunery.datasets.references import TenantSources
from tunery.datasets.sources.obtaining import obtain_source
from tunery.datasets.versions.row_files import StoredRow
from tunery.kit.actor import Actor
from tunery.kit.units import format_bytes, format_seconds
from tunery.pipelines.operations import (
    STAGES,
    base_source,
    check_inputs,
    find_by_key,
    pin_data,
    pipeline_key,
    pipeline_view,
)
from tunery.pipelines.recipe import Recipe, parse_recipe
from tunery.pipelines.schemas import PipelinePlan, PipelineStart, PlannedStage
from tunery.platform.compute import ENTRIES, run_in_child
from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import scratch_folder
from tunery.registry.bases import BaseSource, find_base, materialize_base, pin_base
from tunery.registry.operations import checkout_version
from tunery.training.ports import check_shape
from tunery.training.schemas import TrainingSection, TrainSpec

__all__ = ["plan_pipeline"]

ENTRIES.register("training.estimate")("tunery.training.fit:estimate")

_CHARACTERS_A_TOKEN = 3.0
_SHARE_OF_GEMM_WHEN_ANSWERING = 0.04
"""Part of the speed of bare matrix products that answering reaches, token by token, four answers at a time."""


@dataclass(frozen=True)
class _Rows:
    """What was read: how many rows, how many of them in each split and where, and what is to be noted of them."""

    read: int
    splits: Mapping[str, int]
    train: Path
    validation: Path
    test_characters: list[int]
    notes: list[str]


@dataclass(frozen=True)
class _Asked:
    """Someone who waits for the answer."""

    ground: Ground
    tenant_id: str

    def progress(self, data: dict[str, Any], *, always: bool = True) -> None:
        """Nobody looks."""

    def cancelled(self) -> bool:
        return False


def plan_pipeline(session: TenantSession, ground: Ground, actor: Actor, wish: PipelineStart) -> PipelinePlan:
    """Tell what a recipe would do.

    The data is really fetched where it lies elsewhere, and read, sanitised and split; the rows are really counted in
    tokens; the time of training is its floating-point operations over a measured speed.

    Raises:
        RecipeInvalid, RowInvalid, InvalidInput: as the run itself would.
    """
    recipe = pin_data(ground, actor, parse_recipe(wish.recipe))
    check_inputs(ground, actor, recipe, wish)
    base = pin_base(ground, actor.tenant_id, base_source(recipe, wish.inputs))
    with scratch_folder(ground.settings, "plan") as scratch:
        rows = _read_rows(ground, actor, recipe, wish, scratch)
        folder, base_detail = _base_folder(ground, actor, base, scratch)
        estimate = _estimate(ground, recipe, rows, folder, scratch) if folder else None
    key = pipeline_key(recipe, wish, base)
    earlier = find_by_key(session, key)
    view = pipeline_view(session, earlier) if earlier else None
    stages = _stages(recipe, rows, base_detail, estimate)
    return PipelinePlan(
        name=recipe.model.name,
        key=key,
        stages=stages,
        seconds=sum(stage.seconds or 0 for stage in stages),
        peak_memory_bytes=int(estimate["peak_memory_bytes"]) if estimate else 0,
        notes=_notes(rows, estimate),
        earlier=view.status if view else None,
        not_repeatable=view.not_repeatable if view else None,
    )


def _read_rows(ground: Ground, actor: Actor, recipe: Recipe, wish: PipelineStart, scratch: Path) -> _Rows:
    section = recipe.training_data
    if section.source == "dataset":
        with ground.database.session(actor.tenant_id, read_only=True) as session:
            version = resolve_dataset(session, section.path)
        check_shape(recipe.method, version.shape)
        return _dealt_out(scratch, rows_of(ground, version), version.total_samples, version.rows, [])
    built = _built(ground, actor, recipe, wish, scratch)
    check_shape(recipe.method, built.shape)
    notes = [f"{built.quarantined} rows would be set aside as unusable"] if built.quarantined else []
    notes += [
        f"{step.step} would change or drop {step.affected_samples} rows"
        for step in built.steps
        if step.affected_samples
    ]
    splits = {str(name): count for name, count in built.split.rows.items()}
    return _dealt_out(scratch, built.rows(), built.read, splits, notes)


def _built(ground: Ground, actor: Actor, recipe: Recipe, wish: PipelineStart, scratch: Path) -> Built:
    section = recipe.training_data
    options = section.import_options(recipe.sanitize, recipe.seed)
    digest, file_name = str(wish.inputs.get(section.path)), section.file_name
    if (source := section.elsewhere) is not None:
        found = obtain_source(_Asked(ground, actor.tenant_id), source, options)
        digest, file_name, options = found.digest, found.file_name, found.read_with(options)
    ground.blobs.checkout(actor.tenant_id, digest, scratch / "source")
    return build_rows(
        scratch / "source",
        options.format or guess_format(file_name),
        options,
        scratch=scratch,
        quarantine=Quarantine(options.on_error),
        max_row_bytes=ground.settings.max_row_bytes,
        sources=TenantSources(ground, actor.tenant_id, scratch),
    )


def _dealt_out(
    scratch: Path, rows: Iterable[StoredRow], read: int, splits: Mapping[str, int], notes: list[str]
) -> _Rows:
    test = []
    with ExitStack() as stack:
        paths = {split: scratch / f"{split}.jsonl" for split in ("train", "validation")}
        files = {split: stack.enter_context(path.open("w", encoding="utf-8")) for split, path in paths.items()}
        for row in rows:
            if row.split == "test":
                test.append(len(row.content))
            else:
                line = json.dumps({**row.values, "row_id": row.row_id}, ensure_ascii=False)
                files[row.split].write(f"{line}\n")
    return _Rows(read, splits, paths["train"], paths["validation"], test, notes)


def _base_folder(ground: Ground, actor: Actor, source: BaseSource, scratch: Path) -> tuple[Path | None, str]:
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        found = find_base(session, source)
    if found is not None:
        return checkout_version(ground, actor.tenant_id, found.id), f"{found.reference} is here already"
    if source.kind == "hub":
        return None, f"{source.text} would be fetched from the Hub"
    folder = materialize_base(ground, actor.tenant_id, source, scratch / "base")
    return folder, f"{source.text} would be converted and registered"


def _estimate(ground: Ground, recipe: Recipe, rows: _Rows, folder: Path, scratch: Path) -> dict[str, Any]:
    training = {name: getattr(recipe, name) for name in TrainingSection.model_fields}
    spec = TrainSpec(
        **training,
        model_dir=str(folder),
        train_path=str(rows.train),
        validation_path=str(rows.validation) if rows.splits.get("validation") else None,
        work_dir=str(scratch / "work"),
        output_dir=str(scratch / "output"),
        threads=ground.settings.threads or None,
    )
    return run_in_child(
        "training.estimate",
        spec.model_dump(mode="json"),
        log_path=ground.settings.folder("logs") / "plan.log",
        on_event=lambda event: None,
        cancelled=lambda: False,
    )


def _stages(recipe: Recipe, rows: _Rows, base_detail: str, estimate: dict[str, Any] | None) -> list[PlannedStage]:
    split = ", ".join(f"{count} {name}" for name, count in rows.splits.items())
    test = rows.splits.get("test", 0)
    measured = min(test, recipe.evaluation.max_rows or test)
    gate = f"{len(recipe.gate.criteria)} criteria" if recipe.gate else "none"
    deploy = f"as {recipe.deployment.name or recipe.model.name}" if recipe.deployment.auto_deploy else "not asked for"
    train = "cannot be told before the base is here"
    if estimate:
        train = (
            f"{estimate['rows']} rows, {estimate['tokens']} tokens, {estimate['steps']} steps on {estimate['device']}; "
            f"{estimate['trainable_params']:,} of {estimate['total_params']:,} parameters"
        )
    details: dict[str, tuple[str, float | None]] = {
        "import": (split, 1.0 + rows.read / 5000),
        "base": (base_detail, 1.0 if "already" in base_detail else 10.0),
        "train": (train, estimate["seconds"] if estimate else None),
        "register": (f"{recipe.model.name}, signed with Ed25519", 1.0),
        "evaluate": (
            f"{', '.join(recipe.evaluation.metrics)} on {measured} held-out rows, base and tuned",
            _answering_seconds(recipe, rows, measured, estimate) if estimate else None,
        ),
        "gate": (gate, 0.5),
        "deploy": (deploy, 10.0 if recipe.deployment.auto_deploy else 0.0),
    }
    return [
        PlannedStage(name=name, title=title, detail=details[name][0], seconds=details[name][1])
        for name, title in STAGES.items()
    ]


def _answering_seconds(recipe: Recipe, rows: _Rows, measured: int, estimate: dict[str, Any]) -> float:
    """Two models answer each row: about its own length in tokens, at two operations a parameter and token."""
    mean = sum(rows.test_characters) / max(1, len(rows.test_characters)) / _CHARACTERS_A_TOKEN
    tokens = 2 * measured * min(mean, recipe.evaluation.max_tokens)
    flops = 2.0 * float(estimate["total_params"]) * tokens
    return 15.0 + flops / (float(estimate["gemm_flops_per_second"]) * _SHARE_OF_GEMM_WHEN_ANSWERING)


def _notes(rows: _Rows, estimate: dict[str, Any] | None) -> list[str]:
    notes = [*rows.notes]
    if estimate and estimate["dropped_rows"]:
        notes.append(f"{estimate['dropped_rows']} rows over max_length would be left out")
    if estimate:
        memory, seconds = format_bytes(estimate["peak_memory_bytes"]), format_seconds(estimate["seconds"])
        notes.append(
            f"training alone: about {seconds} and {memory} in {estimate['dtype']}, on an otherwise idle machine"
        )
    return notes
