"""``tunery datasets``."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table
from rich.text import Text

from tunery.cli.import_options import (
    Columns,
    Encoding,
    Format,
    Key,
    Mode,
    OnError,
    Seed,
    Shape,
    Share,
    SplitColumn,
    Steps,
    SubjectColumns,
    blamed_on,
    column_map,
    import_options,
    steps_in,
)
from tunery.cli.noun import Limit, Noun, Offset
from tunery.cli.output import Output, plain, plain_text, sheet, table
from tunery.cli.transfers import watching
from tunery.cli.waiting import Wait, finish
from tunery.client import Client
from tunery.datasets.origins import SourceType
from tunery.errors import NotFound

noun = Noun("datasets", "Import, inspect and list datasets and their versions.")
DataFile = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="A JSONL, JSON, CSV, TSV, Parquet, Markdown or text file.")
]
Name = Annotated[str, typer.Argument(metavar="DATASET", help="Name of the dataset.")]
Ref = Annotated[
    str,
    typer.Argument(
        metavar="REFERENCE", help="name:2, name:tag, name@2026-11-20T10:00:00Z, or a name for its newest version."
    ),
]


@noun.command("inspect", example="tunery datasets inspect rows.jsonl")
def inspect(file: DataFile, column: Columns = None, format_name: Format = None, encoding: Encoding = None) -> Output:
    """Look at a data file: shape, columns, lengths, lines that cannot be used; nothing is imported."""
    from tunery.datasets.inspection import inspect_file

    found = inspect_file(file, format_name, columns=column_map(column), encoding=encoding)
    shown = sheet(found, "format", "shape", "problem", "columns", "mapping", "rows", "malformed", "duplicates",
                  "lengths", "labels", "metrics")  # fmt: skip
    bad = table(found.bad_lines, "line", "reason", "text").shown if found.bad_lines else None
    return Output(shown.data, shown.shown, [bad] if bad else [])


@noun.command("import", example="tunery datasets import rows.jsonl --name addresses --on-error quarantine")
def import_dataset(
    file: Annotated[
        str, typer.Argument(help="A JSONL, JSON, CSV, TSV, Parquet, Markdown or text file, or a Croissant.")
    ],
    name: Annotated[str | None, typer.Option(help="Name of the dataset. Default: made of the file's name.")] = None,
    column: Columns = None,
    shape: Shape = None,
    format_name: Format = None,
    encoding: Encoding = None,
    key: Key = None,
    subject_column: SubjectColumns = None,
    mode: Mode = "replace",
    on_error: OnError = "stop",
    validation_split: Share = None,
    test_split: Share = None,
    deduplicate: Annotated[bool, typer.Option(help="Keep the first of rows that are exactly equal.")] = False,
    strip_key: Annotated[list[str] | None, typer.Option(help="Column to take away; may be repeated.")] = None,
    redact: Annotated[
        bool, typer.Option(help="Put its kind in the place of each identifier, key and password that has a form.")
    ] = False,
    max_len: Annotated[int | None, typer.Option(min=1, help="Take away rows with more characters.")] = None,
    sanitize: Steps = None,
    split_column: SplitColumn = None,
    seed: Seed = 0,
    license: Annotated[str | None, typer.Option(help="SPDX id of the data's licence.")] = None,
    url: Annotated[str | None, typer.Option(help="Where the data was got from; noted, never fetched.")] = None,
    description: Annotated[str, typer.Option(help="What the data is.")] = "",
    source_type: Annotated[
        SourceType | None, typer.Option(help="How the data came to be, such as web_scrape or generated. Default: file.")
    ] = None,
    collected_at: Annotated[
        str | None, typer.Option(help="When it was collected, as 2026-11-20. Default: now.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="A model whose tokens the provenance record counts. Default: not counted.")
    ] = None,
    wait: Wait = True,
) -> Output:
    """Import a file as a new version of a dataset; a folder with a croissant.json says itself what it is."""
    steps: list[dict[str, Any]] = [{"step": "strip_keys", "keys": strip_key}] if strip_key else []
    steps += [{"step": "deduplicate"}] if deduplicate else []
    steps += [{"step": "redact_pii"}, {"step": "redact_secrets"}] if redact else []
    steps += [{"step": "filter_by_length", "max_len": max_len}] if max_len else []
    splits = validation_split, test_split, split_column
    options = import_options(column, shape, format_name, encoding, key, subject_column, on_error, splits, seed)
    options |= {"sanitize": [*steps, *steps_in(sanitize)], "tokenizer": tokenizer}
    with Client() as client:
        with watching("upload") as watch, blamed_on(sanitize, len(steps)):
            started = client.datasets.import_(
                file,
                name=name,
                options=options,
                mode=mode,
                license=license,
                url=url,
                description=description,
                source_type=source_type,
                collected_at=collected_at,
                watch=partial(watch, file),
            )
        return _version_made(client, started.job_id, f"Import {Path(file).name}", wait)


@noun.command("fetch", example="tunery datasets fetch owner/name --split train --column prompt=question")
def fetch_dataset(
    source: Annotated[str, typer.Argument(help="owner/name on the Hub, or a public address: https://...")],
    revision: Annotated[str | None, typer.Option(help="On the Hub: branch, tag or commit. Default: main.")] = None,
    config: Annotated[str | None, typer.Option(help="On the Hub: configuration. Default: the default one.")] = None,
    split: Annotated[str | None, typer.Option(help="On the Hub: split. Default: train, or the only one.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the dataset. Default: made of the source's.")] = None,
    column: Columns = None,
    shape: Shape = None,
    format_name: Format = None,
    encoding: Encoding = None,
    key: Key = None,
    subject_column: SubjectColumns = None,
    mode: Mode = "replace",
    on_error: OnError = "stop",
    validation_split: Share = None,
    test_split: Share = None,
    sanitize: Steps = None,
    split_column: SplitColumn = None,
    seed: Seed = 0,
    license: Annotated[str | None, typer.Option(help="SPDX id of the data's licence. Default: the card's.")] = None,
    description: Annotated[str, typer.Option(help="What the data is.")] = "",
    wait: Wait = True,
) -> Output:
    """Fetch a dataset of the Hub, or a file at a public web address, and import it."""
    splits = validation_split, test_split, split_column
    options = import_options(column, shape, format_name, encoding, key, subject_column, on_error, splits, seed)
    options |= {"sanitize": steps_in(sanitize)}
    with Client() as client:
        with blamed_on(sanitize):
            started = client.datasets.fetch(
                source,
                revision=revision,
                config=config,
                split=split,
                name=name,
                options=options,
                mode=mode,
                license=license,
                description=description,
            )
        return _version_made(client, started.job_id, f"Fetch {source}", wait)


@noun.command("list", example="tunery datasets list")
def list_datasets(limit: Limit = 50, offset: Offset = 0) -> Output:
    """List datasets."""
    with Client() as client:
        found = client.datasets.list(limit=limit, offset=offset)
        return table(found, "name", "currentVersion", "description", "createdBy", "updatedAt")


@noun.command("get", example="tunery datasets get addresses")
def get_dataset(dataset: Name) -> Output:
    """Show a dataset."""
    with Client() as client:
        return sheet(client.datasets.get(dataset))


@noun.command("versions", example="tunery datasets versions addresses")
def versions(dataset: Name) -> Output:
    """List a dataset's versions, the newest first."""
    with Client() as client:
        found = plain(client.datasets.versions(dataset))
    names = {one["id"]: one["reference"] for one in found}
    rows = [
        one
        | {"successor": names.get(one["successorId"])}
        | {"called": one["reference"].partition(":")[0] if one["current"] else ""}
        for one in found
    ]
    successor = ["successor"] if any(one["successor"] for one in rows) else []
    aside = ["quarantined"] if any(one["quarantined"] for one in rows) else []
    columns = ["reference", "called", "change", "parent", "status", *successor, "tags", "rows", *aside]
    return Output(found, table(rows, *columns, "digest", "createdAt").shown)


@noun.command("delete-rows", example="tunery datasets delete-rows addresses 4f1c... 77ab...")
def delete_rows(
    dataset: Name,
    row_ids: Annotated[list[str], typer.Argument(metavar="ROW_ID...", help="Ids, as `datasets rows` shows them.")],
    wait: Wait = True,
) -> Output:
    """Make a version without some rows; older versions keep them."""
    with Client() as client:
        started = client.datasets.delete_rows(dataset, row_ids)
        return _version_made(client, started.job_id, f"Delete rows of {dataset}", wait)


@noun.command("restore", example="tunery datasets restore addresses:1")
def restore(reference: Ref, wait: Wait = True) -> Output:
    """Make a new version with the rows of an older one."""
    with Client() as client:
        started = client.datasets.restore(reference)
        return _version_made(client, started.job_id, f"Restore {reference}", wait)


@noun.command("compact", example="tunery datasets compact addresses")
def compact(dataset: Name, wait: Wait = True) -> Output:
    """Join the small files of the newest version; the rows stay as they are."""
    with Client() as client:
        started = client.datasets.compact(dataset)
        return _version_made(client, started.job_id, f"Compact {dataset}", wait)


@noun.command("tag", example="tunery datasets tag addresses:2 gold")
def tag_version(
    reference: Ref, tag: Annotated[str, typer.Argument(help="The name, such as gold; no number.")]
) -> Output:
    """Give a version a name, taking it from the one that had it."""
    with Client() as client:
        return sheet(client.datasets.tag(reference, tag), "reference", "tags", "status", "rows", "digest", "createdAt")


@noun.command("diff", example="tunery datasets diff addresses:1 addresses:2")
def diff(
    before: Ref,
    after: Annotated[
        str | None, typer.Argument(metavar="REFERENCE", help="The other version. Default: the newest.")
    ] = None,
    limit: Limit = 20,
    offset: Offset = 0,
) -> Output:
    """Show which rows came, went or changed between two versions, and how many in all."""
    with Client() as client:
        found = client.datasets.diff(before, after, limit=limit, offset=offset)
    counts = sheet(found, "before", "after", "added", "removed", "changed")
    shown = [
        item
        | {side: json.dumps(item[side], ensure_ascii=False) if item[side] else None for side in ("before", "after")}
        for item in plain(found.rows)
    ]
    rows = table(shown, "change", "rowId", "before", "after").shown if shown else None
    return Output(counts.data, counts.shown, [rows] if rows else [])


@noun.command("rows", example="tunery datasets rows addresses:1 --split test --limit 3")
def rows(
    reference: Ref,
    split: Annotated[str | None, typer.Option(help="train, validation or test.")] = None,
    limit: Limit = 20,
    offset: Offset = 0,
) -> Output:
    """Show rows of a version, in the order of their import."""
    with Client() as client:
        found = client.datasets.rows(reference, split=split, limit=limit, offset=offset)
    shown = [item | {"row": json.dumps(item["row"], ensure_ascii=False)} for item in plain(found)]
    return Output(plain(found), table(shown, "line", "split", "rowId", "row").shown)


@noun.command("quarantined", example="tunery datasets quarantined addresses:1 --limit 3")
def quarantined(reference: Ref, limit: Limit = 20, offset: Offset = 0) -> Output:
    """Show rows that were set aside when a version was imported: line, reason and the beginning of the text."""
    with Client() as client:
        return table(client.datasets.quarantined(reference, limit=limit, offset=offset), "line", "reason", "text")


@noun.command("export", example="tunery datasets export addresses:2 --format csv --to addresses.csv")
def export(
    reference: Ref,
    to: Annotated[Path, typer.Option(help="The new file; of a Delta table, the new folder.")],
    form: Annotated[
        Literal["jsonl", "csv", "parquet", "delta"],
        typer.Option("--format", help="One file of rows, or the dataset with all its versions as a Delta table."),
    ] = "jsonl",
    split: Annotated[str | None, typer.Option(help="train, validation or test. Default: all.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="Column to export; may be repeated. Default: those of the first rows.")
    ] = None,
    split_column: Annotated[
        str | None, typer.Option(help="A column more, of this name, that says the split of each row.")
    ] = None,
) -> Output:
    """Write the rows of a version to a file, or a dataset and its history to a Delta table; the export is audited."""
    with Client() as client:
        made = client.datasets.export(
            reference, to, format=form, split=split, columns=column, split_column=split_column
        )
    told = [f"erased, so empty in this table: version {', '.join(map(str, made.erased))}"] if made.erased else []
    shown = sheet({"path": str(made.path), "version": made.version, "erased": made.erased})
    return Output(shown.data, shown.shown, [*told])


@noun.command("query", example="tunery datasets query 'select split, count(*) from addresses group by split'")
def query(
    sql: Annotated[str, typer.Argument(help='One SELECT; tables are datasets by name: addresses, "addresses:2".')],
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most rows of the answer.")] = 100,
) -> Output:
    """Answer a SELECT over datasets; it reads the versions that it names, and changes nothing."""
    with Client() as client:
        found = client.datasets.query(sql, limit=limit)
    names = [column.name for column in found.columns]
    shown = Table(*map(plain_text, names), box=None, pad_edge=False, header_style="bold")
    for row in found.rows:
        shown.add_row(*(plain_text(value if isinstance(value, str) else json.dumps(value)) for value in row))
    more = [f"only the first {len(found.rows)} rows are shown"] if found.truncated else []
    return Output(plain(found), shown, [*more])


@noun.command("sanitizers", example="tunery datasets sanitizers near_deduplicate")
def sanitizers(
    step: Annotated[str | None, typer.Argument(help="Name of a step, to see its parameters.")] = None,
) -> Output:
    """List the sanitising steps that a recipe may name; of one of them, the parameters."""
    with Client() as client:
        found = client.datasets.sanitizers()
    if step is None:
        return table(found, "name", "description")
    chosen = next((item for item in found if item.name == step), None)
    if chosen is None:
        raise NotFound(f"there is no sanitizer {step[:80]!r}; there are {', '.join(item.name for item in found)}")
    rows = [
        {
            "parameter": name,
            "default": "required" if name in chosen.required else json.dumps(field.get("default", "...")),
            "description": field.get("description", ""),
        }
        for name, field in chosen.parameters.items()
    ]
    return Output(plain(chosen), table(rows, "parameter", "default", "description").shown, [chosen.description])


@noun.command("provenance", example="tunery datasets provenance addresses:1")
def provenance(reference: Ref) -> Output:
    """Show where a version came from and what was done to it."""
    with Client() as client:
        found = client.datasets.provenance(reference)
    record = plain(found)
    steps = [one | {"found": _counts(one["details"])} for one in record.pop("preprocessingSteps")]
    done = table(steps, "step", "name", "affectedSamples", "timestamp", "found", empty="no step was applied")
    return Output(plain(found), sheet(record).shown, [done.shown or ""])


@noun.command("card", example="tunery datasets card addresses")
def card(reference: Ref) -> Output:
    """Show the dataset card of a version: where its rows come from, what was done, what is open."""
    with Client() as client:
        found = client.datasets.card(reference)
    return Output(plain(found), Text(plain_text(found.markdown)))


@noun.command("croissant", example="tunery datasets croissant addresses:1 --output addresses")
def croissant(
    reference: Ref,
    output: Annotated[Path, typer.Option("--output", "-o", file_okay=False, help="A new or empty folder.")],
) -> Output:
    """Write a version out as Croissant: croissant.json, a card, and the rows as a Parquet file."""
    with Client() as client:
        written = client.datasets.croissant(reference, output)
    return table([{"path": str(path), "sizeBytes": path.stat().st_size} for path in written], "path", "sizeBytes")


def _counts(details: dict[str, Any]) -> str:
    """Return what a step counted; detectors and samples are in ``--json``."""
    counts = {name: n for name, n in details.items() if isinstance(n, int | float) and not name.startswith("rows")}
    return ", ".join(f"{n:g} {name.removeprefix('found ')}" for name, n in counts.items())


def _version_made(client: Client, job_id: str, what: str, wait: bool) -> Output:
    """Wait for the job if asked to, and show the version that it made."""
    finish(client, job_id, what, wait)
    job = client.jobs.get(job_id)
    if not job.result:
        return sheet(job, "id", "kind", "status")
    versions = client.datasets.versions(str(job.result["reference"]).partition(":")[0])
    made = next(version for version in versions if version.id == job.result["version_id"])
    shown = sheet(made)
    aside = [f"tunery datasets quarantined {made.reference} shows what was set aside"] if made.quarantined else []
    if job.result.get("new") is False:
        aside += [f"{made.reference} is the newest and was made of this very file: nothing was imported again"]
    return Output(shown.data, shown.shown, [*aside])
