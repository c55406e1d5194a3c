"""``tunery run``: the main job."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tunery.cli.live import Screen, open_screen
from tunery.cli.noun import Noun
from tunery.cli.output import Output, plain
from tunery.cli.progress import share_of
from tunery.cli.report import not_repeatable, result_table, show_pipeline, show_plan
from tunery.cli.transfers import watching
from tunery.cli.waiting import interruptible
from tunery.client import Client
from tunery.client.jobs import FINISHED
from tunery.errors import Cancelled, GateFailed, error_from_problem
from tunery.pipelines.schemas import PipelineView

if TYPE_CHECKING:
    from tunery.pipelines.recipe import Recipe

noun = Noun("run", "Carry out a recipe.")
_POLL_SECONDS = 0.5


@noun.command("run", example="tunery run examples/address-to-json/recipe.yaml --dry-run")
def run(
    recipe: Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="RECIPE", help="A recipe (YAML).")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would do, how long and in how much memory; start nothing.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Make a new run even where this one is finished.")] = False,
    method: Annotated[
        Literal["lora", "full", "sft"] | None,
        typer.Option(help="Train an adapter (lora) or all weights (full) instead of what the recipe says."),
    ] = None,
) -> Output:
    """Carry out a recipe, from the data file to the served model.

    The same command again goes on with what is unfinished and shows what is finished.
    """
    wanted = _load(recipe, method)
    with Client() as client:
        with watching("read") as watch:
            if dry_run:
                return show_plan(client.pipelines.plan(wanted, watch))
            pipeline = client.pipelines.start(wanted, again=again, watch=watch)
        cancel = f"tunery pipelines cancel {pipeline.id}"
        with interruptible(client, f"tunery run {recipe}", cancel), open_screen() as screen:
            pipeline = _follow(client, pipeline, screen)
        return _outcome(pipeline, recipe, client.transport.address.shown)


def _load(path: Path, method: str | None) -> Recipe:
    from tunery.pipelines.recipe import load_recipe, parse_recipe

    recipe = load_recipe(path)
    if method is None:
        return recipe
    changes = {"method": "sft"}
    if method == "full":
        changes["adapter"] = "none"
    elif method == "lora" and recipe.lora is None:
        changes["adapter"] = "lora"
    return parse_recipe(recipe.plain() | changes)


def _follow(client: Client, pipeline: PipelineView, screen: Screen) -> PipelineView:
    after: dict[str, int] = {}
    while True:
        screen.stages(plain(pipeline.stages))
        screen.waiting(pipeline.waiting_behind.text if pipeline.waiting_behind else None)
        if pipeline.status in FINISHED:
            return pipeline
        for job_id in [stage.job_id for stage in pipeline.stages if stage.status == "running" and stage.job_id]:
            news = [*client.jobs.events(job_id, after=after.get(job_id, 0), follow=False)]
            if news:
                after[job_id] = news[-1][0]
                screen.event(next((event for _, event in reversed(news) if share_of(event) is not None), news[-1][1]))
        time.sleep(_POLL_SECONDS)
        pipeline = client.pipelines.get(pipeline.id)


def _outcome(pipeline: PipelineView, recipe: Path, address: str) -> Output:
    if pipeline.status == "cancelled":
        raise Cancelled(f"pipeline {pipeline.id} was cancelled; go on with: tunery run {recipe}")
    if pipeline.status == "failed":
        error = error_from_problem(pipeline.error or {})
        failed = next((stage.title for stage in pipeline.stages if stage.status == "failed"), "the pipeline")
        error.message = f"{failed}: {pipeline.not_repeatable or error.message}"
        raise error
    if pipeline.result is None:
        return show_pipeline(pipeline)
    data = plain(pipeline)
    failure = None
    if (pipeline.result.get("gate") or {}).get("decision") == "fail":
        failure = GateFailed("the gate did not pass, so nothing was promoted or deployed; the table says why")
    return Output(data, result_table(data, address), not_repeatable(pipeline), failure=failure)
