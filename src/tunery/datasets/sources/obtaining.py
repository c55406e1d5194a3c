"""Fetch a source into the store, where it is a file like any that was uploaded."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from tunery.datasets.formats import guess_format
from tunery.datasets.schemas import ImportOptions
from tunery.datasets.sources import Errand, HubSource, SourceFile, UrlSource
from tunery.datasets.sources.hub import HUB_ADDRESS, fetch_from_hub, pin_source
from tunery.errors import FormatInvalid
from tunery.platform.fetching import FetchLimits, fetch_file
from tunery.platform.housekeeping import scratch_folder

__all__ = ["obtain_source"]

_ENDINGS = {
    "application/x-ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
    "application/json": ".json",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "text/markdown": ".md",
    "text/plain": ".txt",
    "application/vnd.apache.parquet": ".parquet",
}
"""Endings by media type, for an address whose own ending tells nothing."""


def obtain_source(context: Errand, source: HubSource | UrlSource, options: ImportOptions) -> SourceFile:
    """Fetch a source and put it into the tenant's store.

    Args:
        context: Whose errand it is.
        source: What to fetch; a revision that is a branch is pinned to its commit.
        options: How its rows are read: a declared format need not be told by the file's name, and several files are
            read to be made one.

    Raises:
        UrlNotAllowed, SourceLimit, NotFound, Refused, Unavailable, FormatInvalid, RowInvalid, Cancelled: nothing is
            kept.
    """
    with scratch_folder(context.ground.settings, "source") as scratch:
        if isinstance(source, HubSource):
            return _from_hub(context, source, options, scratch)
        return _from_url(context, source, scratch / "source", options.format is not None)


def _from_hub(context: Errand, source: HubSource, options: ImportOptions, scratch: Path) -> SourceFile:
    pinned = pin_source(context.ground, context.tenant_id, source)
    found = fetch_from_hub(context, pinned, options, scratch / "out")
    blob = context.ground.blobs.put(context.tenant_id, scratch / "out" / found["file_name"])
    return SourceFile(
        digest=blob.digest,
        file_name=found["file_name"],
        url=f"{HUB_ADDRESS}{pinned.path}@{pinned.revision}",
        license=found["license"],
        details={name: found[name] for name in ("config", "split", "files")} | {"commit": pinned.revision},
        joined=len(found["files"]) > 1,
    )


def _from_url(context: Errand, source: UrlSource, path: Path, format_known: bool) -> SourceFile:
    settings = context.ground.settings
    fetched = fetch_file(
        source.path,
        path,
        FetchLimits(max_bytes=settings.max_upload_bytes),
        private_hosts=settings.source_hosts,
        on_bytes=lambda done, total: context.progress(
            {"type": "fetching", "text": f"bytes of {source.path}", "done": done, "total": total}, always=False
        ),
        cancelled=context.cancelled,
    )
    name = fetched.file_name or "source"
    try:
        guess_format(name)
    except FormatInvalid:
        name += _ENDINGS.get(fetched.media_type, "")
        if not format_known:
            guess_format(name)
    blob = context.ground.blobs.put(context.tenant_id, path)
    details = {"mediaType": fetched.media_type, "answeredBy": fetched.url}
    return SourceFile(blob.digest, PurePosixPath(name).name, source.path, None, details)
