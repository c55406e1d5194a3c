"""``tunery files``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from tunery.cli.noun import Noun
from tunery.cli.output import Output, sheet, table
from tunery.cli.transfers import watching
from tunery.client import Client

noun = Noun("files", "Uploaded bytes, by digest.")


@noun.command("upload", example="tunery files upload data.jsonl")
def upload(
    paths: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, metavar="FILE...", help="Files.")],
) -> Output:
    """Upload files; equal bytes are sent and kept once, and what broke off is gone on with."""
    with Client() as client, watching("upload") as watch:
        sent = [client.files.upload(path, partial(watch, path.name)) for path in paths]
    rows = [file.model_dump(by_alias=True) | {"path": str(path)} for file, path in zip(sent, paths, strict=True)]
    for row in rows:
        row["sha256"] = row["digest"]
    return Output(
        [{k: r[k] for k in ("path", "digest", "sizeBytes")} for r in rows],
        table(rows, "path", "sha256", "sizeBytes").shown,
    )


@noun.command("get", example="tunery files get e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
def get_file(digest: Annotated[str, typer.Argument(help="SHA-256 of the bytes.")]) -> Output:
    """Tell whether bytes are there already."""
    with Client() as client:
        return sheet(client.files.get(digest))
