"""Run a query: find the versions that it names, lay out copies of their files, let a child process read them."""

from __future__ import annotations

import difflib
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunery.datasets.operations import resolve_version
from tunery.datasets.query.schemas import DatasetQuery, QueryResult
from tunery.datasets.versions.contents import files_of
from tunery.errors import Cancelled, Exhausted, InternalError, InvalidInput
from tunery.platform.compute import ENTRIES, run_in_child
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import scratch_folder

__all__ = ["run_query"]

ENTRIES.register("datasets.query")("tunery.datasets.query.reading:read")

_BEGINNINGS = ("select", "with", "from", "values", "describe", "summarize", "show", "pivot", "unpivot")
_READS = re.compile(rf"\s*(?:\(|--|/\*|(?:{'|'.join(_BEGINNINGS)})\b)", re.I)
_GRACE_SECONDS = 5.0


def run_query(
    ground: Ground,
    tenant_id: str,
    wish: DatasetQuery,
    cancelled: Callable[[], bool] = lambda: False,
    read: dict[str, str] | None = None,
) -> QueryResult:
    """Answer a SELECT over datasets.

    Only the files of the versions that it names are laid out, in a private folder that goes when it ends. The child
    gets no keys, and can open no other file, no address, and no extension.

    Args:
        ground: Where the datasets are.
        tenant_id: Whose they are.
        wish: The query.
        cancelled: Asked about once a second; true ends it.
        read: Gets the version behind each table that is read, also where the query fails.

    Raises:
        InvalidInput: It is no single SELECT, or DuckDB refuses it. NotFound, Erased: a table is no dataset version.
        Exhausted: it took more time or memory than the settings allow. Cancelled: ``cancelled`` said so.
    """
    if not _READS.match(wish.sql):
        first = (wish.sql.split() or [""])[0][:40]
        near = difflib.get_close_matches(first.lower(), _BEGINNINGS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InvalidInput(f"a query is one SELECT, which reads and changes nothing; none begins with {first!r}{hint}")
    settings, named, deadline = ground.settings, {} if read is None else read, float("inf")
    with scratch_folder(settings, "query") as scratch:

        def lay_out(event: dict[str, Any]) -> None:
            nonlocal deadline
            paths = {}
            for number, table in enumerate(event["tables"]):
                named[table], paths[table] = _copies(ground, tenant_id, table, scratch / str(number))
            staged = scratch / "tables.new"
            staged.write_text(json.dumps(paths), encoding="utf-8")
            staged.rename(scratch / "tables.json")
            deadline = time.monotonic() + settings.query_seconds + _GRACE_SECONDS

        order = {
            "sql": wish.sql,
            "limit": wish.limit,
            "tables": str(scratch / "tables.json"),
            "seconds": settings.query_seconds,
            "memory_bytes": settings.query_memory_bytes,
        }
        try:
            found = run_in_child(
                "datasets.query",
                order,
                log_path=scratch / "log",
                on_event=lay_out,
                cancelled=lambda: cancelled() or time.monotonic() > deadline,
            )
        except Cancelled:
            if cancelled():
                raise
            raise Exhausted(f"the query took longer than {settings.query_seconds:g} s (TUNERY_QUERY_SECONDS)") from None
        except InternalError as fault:
            raise Exhausted("the query ended its process: it is nested too deeply, or needs too much memory") from fault
    return QueryResult(**found, tables=named)


def _copies(ground: Ground, tenant_id: str, reference: str, folder: Path) -> tuple[str, list[str]]:
    with ground.database.session(tenant_id, read_only=True) as session:
        version = resolve_version(session, reference)
        files = files_of(session, version)
    folder.mkdir(mode=0o700)
    paths = [folder / f"{place:05d}.parquet" for place in range(len(files))]
    for path, file in zip(paths, files, strict=True):
        ground.blobs.checkout(tenant_id, file.digest, path)
    return version.reference, [str(path) for path in paths]
