"""The route of exports. Each is audited, for whoever asks for erasure is told who got copies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Query
from starlette.responses import Response, StreamingResponse

from tunery import audit
from tunery.datasets import operations
from tunery.datasets.export import export_rows
from tunery.datasets.exports.laying import delta_archive
from tunery.datasets.tables import DatasetVersion
from tunery.datasets.versions.rebuilding import histories_of
from tunery.errors import InvalidInput
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import scratch_folder
from tunery.platform.http import Call, route

__all__: list[str] = []

_PIECE = 1 << 20
_MEDIA = {"jsonl": "application/x-ndjson", "csv": "text/csv", "parquet": "application/vnd.apache.parquet"}


@route("datasets.export", "POST", "/datasets/{name}/exports", permission="datasets:read")
def export(
    call: Call,
    name: str,
    version: str | None = Query(None, max_length=40),
    form: Literal["jsonl", "csv", "parquet", "delta"] = Query("jsonl", alias="format"),
    split: str | None = Query(None, max_length=50),
    column: Annotated[list[str] | None, Query(max_length=1000)] = None,
    split_column: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
) -> Response:
    """Download the rows of a version as one file, or the dataset with its whole history as a Delta table in a tar."""
    found = operations.find_version(call.session, name, version)
    if form == "delta":
        return _delta(call, found, version, split or column or split_column)
    call.session.commit()
    with ExitStack() as held:
        path = held.enter_context(scratch_folder(call.ground.settings, "export")) / "rows"
        count = export_rows(partial(_values, call.ground, found, split, split_column), path, form, column)
        audit.record(
            call.session, call.actor, "dataset_exported", found.reference,
            format=form, rows=count, split=split, digest=found.digest,
        )  # fmt: skip
        headers = {"Content-Length": str(path.stat().st_size), "X-Tunery-Version": found.reference}
        return StreamingResponse(_sent(_pieces(path), held.pop_all()), headers=headers, media_type=_MEDIA[form])


def _delta(call: Call, found: DatasetVersion, version: str | None, part: object) -> Response:
    if version or part:
        raise InvalidInput("delta is the whole dataset with its history; name no version, split or column")
    histories = histories_of(call.session, found.dataset)
    erased = [str(row.version) for row, _ in histories if row.status == "erased"]
    for row, _ in histories:
        if row.status != "erased":
            audit.record(call.session, call.actor, "dataset_exported", row.reference, format="delta", digest=row.digest)
    with ExitStack() as held:
        scratch = held.enter_context(scratch_folder(call.ground.settings, "export"))
        archive = delta_archive(call.ground, histories, scratch)
        headers = {"X-Tunery-Version": found.reference, "X-Tunery-Erased": ",".join(erased)}
        return StreamingResponse(_sent(archive, held.pop_all()), headers=headers, media_type="application/x-tar")


def _values(
    ground: Ground, version: DatasetVersion, split: str | None, split_column: str | None
) -> Iterator[dict[str, Any]]:
    for row in operations.rows_of(ground, version, split):
        yield row.values | ({split_column: row.split} if split_column else {})


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _sent(pieces: Iterable[bytes], held: ExitStack) -> Iterator[bytes]:
    with held:
        yield from pieces
