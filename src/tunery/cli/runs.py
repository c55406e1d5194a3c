"""``tunery runs``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tunery.cli.noun import Limit, Noun, Offset
from tunery.cli.output import Output, sheet, table
from tunery.cli.waiting import Wait, finish
from tunery.client import Client

noun = Noun("runs", "Trainings and their metrics.")
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]

_FIELDS = (
    "id", "name", "method", "status", "failureReason", "notRepeatable", "datasetReference", "baseReference",
    "metrics", "files", "jobId", "createdBy", "createdAt", "finishedAt",
)  # fmt: skip


@noun.command("create", example="tunery runs create first --dataset addresses:1 --base smollm2-135m-instruct:1.0.0")
def create(
    name: Annotated[str, typer.Argument(help="What the run is for.")],
    dataset: Annotated[str, typer.Option(help="Dataset version, name or name:1.")],
    base: Annotated[str, typer.Option(help="Registered base, name:1.0.0.")],
    training: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="YAML with method, adapter, hyperparameters, optimization, seed."
        ),
    ] = None,
    save_best: Annotated[bool, typer.Option(help="Keep the best validation loss's weights, not the last.")] = True,
    wait: Wait = True,
) -> Output:
    """Train on a dataset version from a registered base; `tunery run` does this and all around it."""
    with Client() as client:
        made = client.runs.create(name, dataset, base, training=_read(training), save_best_model=save_best)
        finish(client, made.job_id, f"Train {name}", wait)
        return sheet(client.runs.get(made.id), *_FIELDS)


@noun.command("list", example="tunery runs list")
def list_runs(limit: Limit = 50, offset: Offset = 0) -> Output:
    """List training runs, the newest first."""
    with Client() as client:
        found = client.runs.list(limit=limit, offset=offset)
        return table(found, "id", "name", "method", "status", "datasetReference", "baseReference", "createdAt")


@noun.command("get", example="tunery runs get 0198c0de-0000-7000-8000-000000000001")
def get_run(run: RunId) -> Output:
    """Show a training run."""
    with Client() as client:
        return sheet(client.runs.get(run), *_FIELDS)


@noun.command("metrics", example="tunery runs metrics 0198c0de-0000-7000-8000-000000000001")
def metrics(run: RunId) -> Output:
    """Show a run's curves: training loss by step, validation loss where it was measured."""
    with Client() as client:
        return table(client.runs.metrics(run), "step", "name", "value")


@noun.command("cancel", example="tunery runs cancel 0198c0de-0000-7000-8000-000000000001")
def cancel(run: RunId) -> Output:
    """End a run after its current step; a checkpoint is kept."""
    with Client() as client:
        return sheet(client.runs.cancel(run), "id", "name", "status")


def _read(path: Path | None) -> dict[str, Any]:
    from tunery.pipelines.yaml_text import parse_yaml

    return parse_yaml(path.read_text(encoding="utf-8")) if path else {}
