"""``tunery uploads``."""

from __future__ import annotations

from typing import Annotated

import typer

from tunery.cli.noun import Limit, Noun, Offset
from tunery.cli.output import Output, sheet, table
from tunery.client import Client

noun = Noun("uploads", "Files on their way in parts.")
Id = Annotated[str, typer.Argument(metavar="UPLOAD", help="Id of the upload.")]


@noun.command("list", example="tunery uploads list")
def list_uploads(limit: Limit = 50, offset: Offset = 0) -> Output:
    """List open uploads; each holds its room in the quota until it is complete, aborted or expired."""
    with Client() as client:
        found = client.uploads.list(limit=limit, offset=offset)
    return table(found, "id", "sizeBytes", "partCount", "createdBy", "expiresAt", empty="no open uploads")


@noun.command("get", example="tunery uploads get 0192f0c1-2f3a-7b4c-8d5e-6f708192a3b4")
def get_upload(upload: Id) -> Output:
    """Show an upload and which parts arrived; `tunery files upload` of the same file goes on with it."""
    with Client() as client:
        found = client.uploads.get(upload)
    shown = sheet(found, "id", "status", "digest", "sizeBytes", "partBytes", "partCount", "createdBy", "expiresAt")
    parts = table(found.parts, "number", "sizeBytes", "digest", empty="no parts yet")
    return Output(shown.data, shown.shown, [parts.shown] if parts.shown else [])


@noun.command("abort", example="tunery uploads abort 0192f0c1-2f3a-7b4c-8d5e-6f708192a3b4")
def abort(upload: Id) -> Output:
    """Give an open upload up; its parts go and its room is free again."""
    with Client() as client:
        return sheet(client.uploads.abort(upload), "id", "digest", "sizeBytes")
