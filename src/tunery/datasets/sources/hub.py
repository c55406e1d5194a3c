"""Datasets of the Hugging Face Hub: the data files of one split, as one source file."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from tunery.datasets.schemas import ImportOptions
from tunery.datasets.sources import Errand, HubSource
from tunery.datasets.sources.hub_files import choose_files, read_card
from tunery.datasets.sources.joining import join_files
from tunery.errors import SourceLimit, Unavailable
from tunery.identity.hub_access import hub_environment
from tunery.kit.extras import require
from tunery.kit.ids import new_id
from tunery.platform.compute import ENTRIES
from tunery.platform.ground import Ground
from tunery.platform.hub import hub_errors, is_offline, pin_on_hub, place_file, reporting_bar, run_hub_client

__all__ = ["HUB_ADDRESS", "clear_hub_cache", "fetch_from_hub", "fetch_split", "pin_source"]

HUB_ADDRESS = "hf://datasets/"

ENTRIES.register("datasets.fetch_split")("tunery.datasets.sources.hub:fetch_split")


def pin_source(ground: Ground, tenant_id: str, source: HubSource) -> HubSource:
    """Return the source with the commit that its revision is now. Raises: as ``pin_on_hub``."""
    named = f"{source.path}@{source.revision}" if source.revision else source.path
    pinned = pin_on_hub(ground, hub_environment(ground, tenant_id), named, "dataset")
    return source.model_copy(update={"revision": pinned.partition("@")[2]})


def fetch_from_hub(context: Errand, source: HubSource, options: ImportOptions, out_dir: Path) -> dict[str, Any]:
    """Fetch the files of a pinned source; return the name of the one file in the folder, and where it came from.

    Raises:
        NotFound: No such repository, revision, configuration or split. FormatInvalid: it has no data files, only a
            script. RowInvalid: one of several files has what is no row. SourceLimit: too large. Refused, Unavailable,
            DigestMismatch, Cancelled: as the Hub's client says.
    """
    order = {
        "repository": source.path,
        "revision": source.revision,
        "config": source.config,
        "split": source.split,
        "out_dir": str(out_dir),
        "max_bytes": context.ground.settings.max_upload_bytes,
        "reading": {
            "format_name": options.format,
            "encoding": options.encoding,
            "on_error": options.on_error,
            "max_row_bytes": context.ground.settings.max_row_bytes,
        },
    }
    return run_hub_client(
        "datasets.fetch_split",
        context.ground,
        hub_environment(context.ground, context.tenant_id),
        order,
        lambda event: context.progress(event, always=False),
        context.cancelled,
    )


def clear_hub_cache(ground: Ground, tenant_id: str, sources: Iterable[Mapping[str, Any]]) -> list[str]:
    """Remove what the Hub's client keeps of sources that were fetched from there, in every revision.

    Args:
        ground: Where the tenant's cache is, if it has one of its own.
        tenant_id: Whose cache.
        sources: As a provenance record has them; those from elsewhere are passed over.

    Returns:
        The names of these repositories.
    """
    fetched = (source for source in sources if "commit" in source.get("details", {}))
    urls = (str(source["url"]) for source in fetched)
    names = sorted({url.removeprefix(HUB_ADDRESS).partition("@")[0] for url in urls if url.startswith(HUB_ADDRESS)})
    for name in names:
        constants = require("huggingface_hub.constants", "train")
        cache = Path(hub_environment(ground, tenant_id).get("HF_HUB_CACHE", constants.HF_HUB_CACHE))
        folder = cache / constants.REPO_ID_SEPARATOR.join(["datasets", *name.split("/")])
        with suppress(FileNotFoundError):
            folder.rename(folder.with_name(f".{folder.name}.{new_id()}"))  # nobody fetches into it from here on
        for left in cache.glob(f".{folder.name}.*"):
            shutil.rmtree(left, ignore_errors=True)
    return names


def fetch_split(
    order: dict[str, Any], emit: Callable[[dict[str, Any]], None], cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """Fetch a split's files into the Hub's cache, in a child process, and make one file of them in a folder."""
    repository, commit = order["repository"], order["revision"]
    with hub_errors(repository, commit, "dataset"):
        sizes = _sizes(repository, commit)
        card = _download(order, ["README.md"] if "README.md" in sizes else [], emit, cancelled)
        head = read_card(_text(card / "README.md"))
        config, split, names = choose_files(sizes, head, order["config"], order["split"])
        if (total := sum(sizes[name] for name in names)) > order["max_bytes"]:
            raise SourceLimit(f"the files of {repository}, {split} have {total} bytes, more than max_upload_bytes")
        snapshot = _download(order, names, emit, cancelled)
    out_dir = Path(order["out_dir"])
    out_dir.mkdir(parents=True)
    stem = "-".join(part for part in (repository.partition("/")[2], config, split) if part != "default")
    file_name = _one_file([snapshot / name for name in names], out_dir, stem, order["reading"], cancelled)
    license_named = head.get("license")
    return {
        "file_name": file_name,
        "config": config,
        "split": split,
        "files": names,
        "license": license_named if isinstance(license_named, str) else None,
    }


def _sizes(repository: str, commit: str) -> dict[str, int]:
    """Return the sizes of a commit's files by name."""
    from huggingface_hub import HfApi, get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError
    from huggingface_hub.hf_api import RepoFile

    if is_offline():
        try:
            known = get_cached_repo_tree(repository, repo_type="dataset", revision=commit)
        except CachedRepoTreeNotFoundError as error:
            raise Unavailable(f"{repository} is not in the Hub's cache, and offline it is not fetched") from error
        return {file.path: file.size for file in known}
    tree = HfApi().list_repo_tree(repository, recursive=True, repo_type="dataset", revision=commit)
    return {entry.path: entry.size for entry in tree if isinstance(entry, RepoFile)}


def _download(
    order: dict[str, Any],
    names: list[str],
    emit: Callable[[dict[str, Any]], None],
    cancelled: Callable[[], bool],
) -> Path:
    from huggingface_hub import snapshot_download

    found = snapshot_download(
        order["repository"],
        repo_type="dataset",
        revision=order["revision"],
        allow_patterns=[glob.escape(name) for name in names] or ["README.md"],
        local_files_only=is_offline(),
        tqdm_class=reporting_bar(order["repository"], emit, cancelled),
    )
    return Path(str(found))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")[:1_000_000] if path.is_file() else ""


def _one_file(
    paths: list[Path], out_dir: Path, stem: str, reading: dict[str, Any], cancelled: Callable[[], bool]
) -> str:
    """Make one file of several in order: a single one as it is, else JSON lines. Return its name."""
    if len(paths) == 1:
        name = stem + PurePosixPath(paths[0].name).suffix.lower()
        place_file(paths[0].resolve(), out_dir / name)
        return name
    join_files(paths, out_dir / f"{stem}.jsonl", cancelled=cancelled, **reading)
    return f"{stem}.jsonl"
