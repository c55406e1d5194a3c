"""The options of importing, as ``datasets import``, ``fetch`` and ``inspect`` take them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tunery.errors import InvalidInput, TuneryError

__all__ = [
    "Columns",
    "Encoding",
    "Format",
    "Key",
    "Mode",
    "OnError",
    "Seed",
    "Shape",
    "Share",
    "SplitColumn",
    "Steps",
    "SubjectColumns",
    "blamed_on",
    "column_map",
    "import_options",
    "steps_in",
]

Mode = Annotated[
    Literal["replace", "append", "merge"],
    typer.Option(help="The rows alone, after those of the newest version, or among them by --key."),
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", help="Which column is what, such as prompt=question; may be repeated. Default: by rule."),
]
Format = Annotated[
    str | None, typer.Option("--format", help="Format of the file, such as jsonl. Default: told by its ending.")
]
Encoding = Annotated[
    str | None, typer.Option(help="How a text file is written, such as cp1252. Default: UTF-8, or by its first bytes.")
]
SubjectColumns = Annotated[
    list[str] | None,
    typer.Option(
        "--subject-column", help="Column that names the person of a row, such as a customer's number; may be repeated."
    ),
]
SplitColumn = Annotated[
    str | None,
    typer.Option(help="Column that says the split of each row: train, validation or test. Nothing else is held out."),
]
Key = Annotated[str | None, typer.Option(help="Column that names a row. Default: ids made of the content.")]
OnError = Annotated[
    Literal["stop", "quarantine"], typer.Option(help="A row that cannot be used: stop, or set it aside.")
]
Shape = Annotated[
    Literal["table"] | None,
    typer.Option(help="table: any columns, to read and query. Default: a shape to learn from, by --column or by rule."),
]
Share = Annotated[
    str | None, typer.Option(help="A fraction or a number of rows (200). Default: 0.1; of a table, none.")
]
Steps = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="YAML with steps under `sanitize`, such as a recipe."),
]
Seed = Annotated[int, typer.Option(min=0, help="Which of the possible splits.")]


def import_options(
    columns: list[str] | None,
    shape: str | None,
    format_name: str | None,
    encoding: str | None,
    key: str | None,
    subject_columns: list[str] | None,
    on_error: str,
    splits: tuple[str | None, str | None, str | None],
    seed: int,
) -> dict[str, Any]:
    """Return the options as the API takes them; ``splits``: shares of validation and test, or the column of them.

    Raises: InvalidInput: one is not understood.
    """
    validation_split, test_split, split_column = splits
    shares = {"validation_split": validation_split, "test_split": test_split}
    return {
        "columns": column_map(columns),
        "shape": shape,
        "format": format_name,
        "encoding": encoding,
        "key": key,
        "subject_columns": subject_columns or [],
        "on_error": on_error,
        "split_column": split_column,
        "seed": seed,
        **{name: _share(name, text) for name, text in shares.items() if text is not None},
    }


def column_map(pairs: list[str] | None) -> dict[str, str | list[str]] | None:
    """Read ``prompt=question,context`` pairs as a recipe's ``columns``. Raises: InvalidInput: one is no pair."""
    found: dict[str, str | list[str]] = {}
    for pair in pairs or ():
        target, equals, source = pair.partition("=")
        if not equals or not source:
            raise InvalidInput(f"--column {pair!r} is not understood; write it like prompt=question")
        names = source.split(",")
        found[target] = names if len(names) > 1 else source
    return found or None


def steps_in(path: Path | None) -> list[dict[str, Any]]:
    """Read the steps of a YAML file; none without one. Raises: InvalidInput: it has no list ``sanitize``."""
    if path is None:
        return []
    from tunery.kit.yaml_text import YamlFault, parse_yaml

    try:
        steps = parse_yaml(path.read_text(encoding="utf-8"), "a file of steps").get("sanitize")
    except (YamlFault, UnicodeDecodeError) as fault:
        raise InvalidInput(f"{path} cannot be read: {fault}") from fault
    if not isinstance(steps, list):
        raise InvalidInput(f"{path} has no list `sanitize`; `tunery datasets sanitizers` shows the steps there are")
    return steps


@contextmanager
def blamed_on(path: Path | None, before: int = 0) -> Iterator[None]:
    """Name faults as the command line does: by the option, or the file of steps, before whose own so many stand."""
    try:
        yield
    except TuneryError as error:
        for fault in error.details.get("faults") or []:
            place = str(fault["path"]).split(".")
            if place[:2] == ["options", "sanitize"] and path and place[2:] and int(place[2]) >= before:
                fault["path"] = f"{path}: {'.'.join(['sanitize', str(int(place[2]) - before), *place[3:]])}"
            elif place[0] == "options" and place[1:]:
                fault["path"] = "--" + place[1].removesuffix("s").replace("_", "-")
        raise


def _share(name: str, text: str) -> float | int:
    try:
        return float(text) if "." in text else int(text)
    except ValueError as error:
        option = f"--{name.replace('_', '-')}"
        raise InvalidInput(f"{option} {text!r} is neither a fraction such as 0.1 nor a number of rows") from error
