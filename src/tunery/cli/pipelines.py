"""``tunery pipelines``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunery.cli.noun import Limit, Noun, Offset
from tunery.cli.output import Output, note, sheet, table
from tunery.cli.report import show_pipeline, show_plan
from tunery.client import Client

noun = Noun("pipelines", "Recipes that are being carried out, or were.")
PipelineId = Annotated[str, typer.Argument(metavar="PIPELINE", help="The pipeline's id.")]
RecipeFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="RECIPE", help="A recipe (YAML).")]


@noun.command("plan", example="tunery pipelines plan recipe.yaml")
def plan(recipe: RecipeFile) -> Output:
    """Tell what a recipe would do, how long and in how much memory; nothing is started."""
    with Client() as client:
        return show_plan(client.pipelines.plan(recipe))


@noun.command("start", example="tunery pipelines start recipe.yaml")
def start(
    recipe: RecipeFile,
    again: Annotated[bool, typer.Option("--again", help="Make a new one even where this ran before.")] = False,
) -> Output:
    """Start a recipe on the server, or go on with it, and return at once; `tunery run` also watches it."""
    with Client() as client:
        pipeline = client.pipelines.start(recipe, again=again)
        if pipeline.waiting_behind:
            note(pipeline.waiting_behind.text)
        return sheet(pipeline, "id", "name", "number", "status")


@noun.command("list", example="tunery pipelines list")
def list_pipelines(limit: Limit = 50, offset: Offset = 0) -> Output:
    """List pipelines, the newest first."""
    with Client() as client:
        pipelines = client.pipelines.list(limit=limit, offset=offset)
        return table(pipelines, "id", "name", "number", "status", "createdAt")


@noun.command("get", example="tunery pipelines get 0198c0de-0000-7000-8000-000000000001")
def get_pipeline(pipeline: PipelineId) -> Output:
    """Show a pipeline with its stages and its result."""
    with Client() as client:
        return show_pipeline(client.pipelines.get(pipeline), client.transport.address.shown)


@noun.command("cancel", example="tunery pipelines cancel 0198c0de-0000-7000-8000-000000000001")
def cancel(pipeline: PipelineId) -> Output:
    """End the stage that runs; running the recipe again goes on from there."""
    with Client() as client:
        return sheet(client.pipelines.cancel(pipeline), "id", "name", "number", "status")
