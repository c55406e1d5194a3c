"""Get models from the Hugging Face Hub. Pickle files and code are never fetched at all."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from tunery.errors import Cancelled, FormatInvalid, TuneryError, UnsafeFormat
from tunery.identity.hub_access import hub_environment
from tunery.platform.compute import ENTRIES
from tunery.platform.ground import Ground
from tunery.platform.hub import (
    hub_errors,
    is_offline,
    pin_on_hub,
    place_file,
    reporting_bar,
    run_hub_client,
)
from tunery.platform.jobs import JobContext

__all__ = ["fetch_from_hub", "fetch_snapshot", "pin_revision"]

_LICENSE = re.compile(r"---\n(?:(?!---).*\n)*?license: *['\"]?([\w.+-]{1,100})['\"]? *\n")
"""In the YAML head of a model card."""
_CARD_HEAD = 16_384
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")
_NEEDED = (
    "model.safetensors",
    "*-of-*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.json",
    "chat_template.jinja",
    "README.md",
    "LICENSE*",
    "NOTICE*",
)
"""Patterns of the files that are fetched, all from the top folder."""

ENTRIES.register("registry.fetch_snapshot")("tunery.registry.hub:fetch_snapshot")


def pin_revision(ground: Ground, tenant_id: str, text: str) -> str:
    """Return ``org/name@COMMIT`` for ``org/name[@revision]``. Raises: as ``pin_on_hub``."""
    return pin_on_hub(ground, hub_environment(ground, tenant_id), text, "model")


def fetch_from_hub(context: JobContext, pinned: str, out_dir: Path) -> str | None:
    """Fetch a model into a folder and return its licence, if its card names one.

    Raises:
        Cancelled: The job shall end. DigestMismatch: a file came damaged. UnsafeFormat: it has no safetensors.
        NotFound, Refused, Unavailable: as ``pin_revision``.
    """
    repository, _, commit = pinned.partition("@")
    order = {"repository": repository, "revision": commit, "out_dir": str(out_dir)}
    found = run_hub_client(
        "registry.fetch_snapshot",
        context.ground,
        hub_environment(context.ground, context.tenant_id),
        order,
        lambda event: context.progress(event, always=False),
        context.cancelled,
    )
    return found["license"] and str(found["license"])


def fetch_snapshot(
    order: dict[str, Any], emit: Callable[[dict[str, Any]], None], cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """Fetch the needed files of a commit into the Hub's cache, in a child process, and from there into a folder."""
    repository, commit = order["repository"], order["revision"]
    with hub_errors(repository, commit, "model"):
        from huggingface_hub import snapshot_download

        snapshot = snapshot_download(
            repository,
            revision=commit,
            allow_patterns=list(_NEEDED),
            ignore_patterns=["*/*"],
            local_files_only=is_offline(),
            tqdm_class=reporting_bar(repository, emit, cancelled),
        )
    # Others fill this cache too, so it may hold what we would never fetch.
    files = [p for p in sorted(Path(snapshot).iterdir()) if any(fnmatch(p.name, pattern) for pattern in _NEEDED)]
    if not any(path.suffix == ".safetensors" for path in files):
        raise _without_weights(repository, commit)
    out_dir = Path(order["out_dir"])
    out_dir.mkdir(parents=True)
    for path in files:
        if cancelled():
            raise Cancelled
        place_file(path.resolve(), out_dir / path.name)
    return {"license": _license(out_dir / "README.md")}


def _without_weights(repository: str, commit: str) -> TuneryError:
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        names = [file.path for file in get_cached_repo_tree(repository, revision=commit)]
    except CachedRepoTreeNotFoundError:
        names = []
    if pickles := [name for name in names if name.endswith(_PICKLES)]:
        return UnsafeFormat(
            f"{repository} has no safetensors weights, only {', '.join(pickles[:3])}: such files can run code when "
            f"they are loaded and are never fetched; name a repository with safetensors"
        )
    return FormatInvalid(f"{repository} has no file model.safetensors at its top; a base model needs its weights there")


def _license(card: Path) -> str | None:
    if not card.is_file():
        return None
    with card.open(encoding="utf-8", errors="replace") as file:
        found = _LICENSE.match(file.read(_CARD_HEAD))
    return found[1] if found else None
