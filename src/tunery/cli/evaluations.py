"""``tunery evaluations``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from tunery.cli.noun import Limit, Noun, Offset
from tunery.cli.output import Output, sheet, table
from tunery.cli.waiting import Wait, finish
from tunery.client import Client
from tunery.evaluation.schemas import EvaluationView

noun = Noun("evaluations", "Measure models on held-out rows, and compare them.")
EvaluationId = Annotated[str, typer.Argument(metavar="EVALUATION", help="The evaluation's id.")]


@noun.command("create", example="tunery evaluations create address-json:1.0.0 --dataset addresses --metric exact_match")
def create(
    model: Annotated[str, typer.Argument(help="Model version, name:1.0.0.")],
    dataset: Annotated[str, typer.Option(help="Dataset version, name or name:1.")],
    metric: Annotated[
        list[str] | None, typer.Option(help="May be repeated; the first leads. Default: exact_match.")
    ] = None,
    split: Annotated[str, typer.Option(help="Which rows.")] = "test",
    style: Annotated[Literal["chat", "completion"], typer.Option(help="How the model is asked.")] = "chat",
    instruction: Annotated[str | None, typer.Option(help="System message, or leading text.")] = None,
    shots: Annotated[int, typer.Option(min=0, max=100, help="Worked examples shown before each row.")] = 0,
    engine: Annotated[str | None, typer.Option(help="Inference engine. Default: the server's choice.")] = None,
    max_rows: Annotated[int | None, typer.Option(min=1, help="Rows at most. Default: all.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer in tokens.")] = 256,
    wait: Wait = True,
) -> Output:
    """Measure a model version on held-out rows; every prediction is kept."""
    prompt: dict[str, Any] = {"style": style, "shots": shots} | ({"instruction": instruction} if instruction else {})
    with Client() as client:
        made = client.evaluations.create(
            model,
            dataset,
            metrics=metric or ["exact_match"],
            split=split,
            prompt=prompt,
            engine=engine,
            max_rows=max_rows,
            max_tokens=max_tokens,
        )
        finish(client, made.job_id, f"Evaluate {made.model_reference}", wait)
        return _shown(client.evaluations.get(made.id))


@noun.command("list", example="tunery evaluations list --model address-json:1.0.0")
def list_evaluations(
    model: Annotated[str | None, typer.Option(help="Only those of this version.")] = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Output:
    """List evaluations, the newest first."""
    with Client() as client:
        found = client.evaluations.list(model=model, limit=limit, offset=offset)
        return table(found, "id", "modelReference", "benchmarkName", "split", "status", "overallScore", "createdAt")


@noun.command("get", example="tunery evaluations get 0198c0de-0000-7000-8000-000000000001")
def get_evaluation(evaluation: EvaluationId) -> Output:
    """Show an evaluation with its scores."""
    with Client() as client:
        return _shown(client.evaluations.get(evaluation))


@noun.command("compare", example="tunery evaluations compare BASELINE_ID CANDIDATE_ID")
def compare(
    baseline: Annotated[str, typer.Argument(help="Evaluation that is compared against.")],
    candidate: Annotated[str, typer.Argument(help="Evaluation that may be better.")],
) -> Output:
    """Compare two completed evaluations on the same rows, with 95 % intervals and paired p-values."""
    with Client() as client:
        found = client.evaluations.compare(baseline, candidate)
        return table(found, "metric", "baseline", "candidate", "difference", "ciLow", "ciHigh", "pValue", "test", "n")


@noun.command("predictions", example="tunery evaluations predictions 0198c0de-0000-7000-8000-000000000001 --limit 5")
def predictions(evaluation: EvaluationId, limit: Limit = 20, offset: Offset = 0) -> Output:
    """Show what the model answered and what that scored, row by row."""
    with Client() as client:
        found = client.evaluations.predictions(evaluation, limit=limit, offset=offset)
        return table(found, "rowId", "prediction", "reference", "metrics")


def _shown(evaluation: EvaluationView) -> Output:
    fields = ("id", "modelReference", "benchmarkName", "benchmarkVersion", "split", "status", "failureReason", "engine",
              "prompt", "sampleCount", "evaluationDuration", "predictionsDigest", "jobId")  # fmt: skip
    found = sheet(evaluation, *fields)
    scores = table(evaluation.scores, "metric", "value", "ciLow", "ciHigh", "n", "direction")
    return Output(found.data, found.shown, [scores.shown] if evaluation.scores and scores.shown else [])
