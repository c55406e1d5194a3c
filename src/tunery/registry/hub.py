"""Get models from the Hugging Face Hub, in a child process: it can be cancelled at any byte, and what it loads goes.

The Hub's own client does the work, so its variables (``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HUB_OFFLINE``, ``HF_HOME``)
and its cache hold: a file that arrived whole is never fetched again. Pickle files and code are never fetched at all.

The token and the cache are the server's: they serve the operator tenant, and others only where the setting
``hub_token_shared`` says so. What is gated would else be anybody's: by the token, or by what it left in the cache.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from tunery.errors import (
    Cancelled,
    DigestMismatch,
    Exhausted,
    FormatInvalid,
    InvalidInput,
    NotFound,
    Refused,
    TuneryError,
    Unavailable,
    UnsafeFormat,
)
from tunery.identity.operations import is_operator
from tunery.kit.digests import sha256_file
from tunery.kit.extras import require
from tunery.platform.compute import ENTRIES, run_in_child
from tunery.platform.ground import Ground
from tunery.platform.jobs import JobContext

__all__ = ["HUB_ID", "fetch_from_hub", "fetch_snapshot", "pin_revision", "resolve_commit"]

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(@(?=.{1,100}$)\w[\w.-]*(/\w[\w.-]*)*)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LICENSE = re.compile(r"---\n(?:(?!---).*\n)*?license: *['\"]?([\w.+-]{1,100})['\"]? *\n")
"""In the YAML head of a model card."""
_CARD_HEAD = 16_384
_NOT_YOURS = (
    "this server's HF_TOKEN does not serve your tenant (its operator may set TUNERY_HUB_TOKEN_SHARED); download the "
    "model yourself and name its folder"
)
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

ENTRIES.register("registry.resolve_commit")("tunery.registry.hub:resolve_commit")
ENTRIES.register("registry.fetch_snapshot")("tunery.registry.hub:fetch_snapshot")


def pin_revision(ground: Ground, tenant_id: str, text: str) -> str:
    """Return ``org/name@COMMIT`` for ``org/name[@revision]``; where the Hub is away, by what its cache knows.

    Raises:
        NotFound: No such repository or revision. Refused: HF_TOKEN does not open it. Unavailable: the Hub is away.
    """
    repository, _, revision = text.partition("@")
    if _COMMIT.fullmatch(revision):
        return text
    order = {"repository": repository, "revision": revision or None}
    found = _in_child("registry.resolve_commit", ground, tenant_id, order, lambda event: None, lambda: False)
    # The Hub's client may have read the revision's name as a path in its cache.
    if not _COMMIT.fullmatch(found["commit"]):
        raise NotFound(f"{repository} has no revision {revision or 'main'!r} that can be pinned to a commit")
    return f"{repository}@{found['commit']}"


def fetch_from_hub(context: JobContext, pinned: str, out_dir: Path) -> str | None:
    """Fetch a model into a folder and return its licence, if its card names one.

    Raises:
        Cancelled: The job shall end. DigestMismatch: a file came damaged. UnsafeFormat: it has no safetensors.
        NotFound, Refused, Unavailable: as ``pin_revision``.
    """
    repository, _, commit = pinned.partition("@")
    order = {"repository": repository, "revision": commit, "out_dir": str(out_dir)}
    found = _in_child(
        "registry.fetch_snapshot",
        context.ground,
        context.tenant_id,
        order,
        lambda event: context.progress(event, always=False),
        context.cancelled,
    )
    return found["license"] and str(found["license"])


def resolve_commit(
    order: dict[str, Any], emit: Callable[[dict[str, Any]], None], cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """Ask the Hub, in a child process, which commit a revision is."""
    with _our_errors(order["repository"], order["revision"]):
        from huggingface_hub import HfApi

        found = HfApi().resolve_revision(
            order["repository"], revision=order["revision"], local_files_only=_is_offline()
        )
    return {"commit": found.resolved}


def fetch_snapshot(
    order: dict[str, Any], emit: Callable[[dict[str, Any]], None], cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """Fetch the needed files of a commit into the Hub's cache, in a child process, and from there into a folder."""
    repository, commit = order["repository"], order["revision"]
    with _our_errors(repository, commit):
        from huggingface_hub import snapshot_download

        snapshot = snapshot_download(
            repository,
            revision=commit,
            allow_patterns=list(_NEEDED),
            ignore_patterns=["*/*"],
            local_files_only=_is_offline(),
            tqdm_class=_reporting_bar(repository, emit, cancelled),
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
        _place(path.resolve(), out_dir / path.name)
    return {"license": _license(out_dir / "README.md")}


def _in_child(
    entry: str,
    ground: Ground,
    tenant_id: str,
    order: dict[str, Any],
    on_event: Callable[[dict[str, Any]], None],
    cancelled: Callable[[], bool],
) -> dict[str, Any]:
    return run_in_child(
        entry,
        order,
        log_path=ground.settings.folder("logs") / "hub.log",
        on_event=on_event,
        cancelled=cancelled,
        environment=_environment(ground, tenant_id),
    )


def _environment(ground: Ground, tenant_id: str) -> dict[str, str]:
    """Return the variables of the Hub's client; a tenant that may not use the token has a cache of its own, too."""
    found = {"HF_HUB_DISABLE_TELEMETRY": "1"} | ({"HF_HUB_OFFLINE": "1"} if ground.settings.offline else {})
    with ground.database.session(tenant_id, read_only=True) as session:
        if ground.settings.hub_token_shared or is_operator(session):
            return found
    own = ground.settings.folder("cache", "hub", tenant_id)
    folders = {"HF_HOME": own, "HF_HUB_CACHE": own / "hub", "HF_XET_CACHE": own / "xet", "HF_TOKEN_PATH": own / "token"}
    nobody = {"HF_TOKEN": "", "HUGGING_FACE_HUB_TOKEN": "", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    return found | nobody | {name: str(path) for name, path in folders.items()}


def _is_offline() -> bool:
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE


def _reporting_bar(repository: str, emit: Callable[[dict[str, Any]], None], cancelled: Callable[[], bool]) -> type[Any]:
    """Return the kind of progress bar that the client is given: it draws nothing, reports bytes, and can end it all."""
    from huggingface_hub.utils.tqdm import tqdm

    class Reporting(tqdm):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            self._counts_bytes = named.get("name") == "huggingface_hub.snapshot_download"
            self._done = 0
            super().__init__(*arguments, **named | {"disable": True})  # type: ignore[no-untyped-call]

        def update(self, count: float | None = 1) -> None:
            if cancelled():
                raise Cancelled
            self._done += int(count or 0)
            if self._counts_bytes and self.total:
                text = f"bytes of {repository}"
                emit({"type": "fetching", "text": text, "done": self._done, "total": int(self.total)})

    return Reporting


def _place(source: Path, target: Path) -> None:
    """Link or copy a file of the cache; the name of a large one there is the SHA-256 that the Hub says it has."""
    if _SHA256.fullmatch(source.name) and sha256_file(source) != source.name:
        source.unlink()
        raise DigestMismatch(f"{target.name} came damaged from the Hub and was thrown away; run it again")
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


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


@contextmanager
def _our_errors(repository: str, revision: str | None) -> Iterator[None]:
    """Raise what the Hub's client raises as errors of ours, in words for the one who wrote the recipe."""
    require("huggingface_hub", "train")
    from huggingface_hub.errors import HFValidationError, RevisionResolutionError
    from huggingface_hub.errors import HTTPError as ClientError  # type: ignore[attr-defined]

    try:
        yield
    except HFValidationError as error:
        raise InvalidInput(f"{repository!r} is no repository id of the Hub: write org/name") from error
    except (OSError, ClientError, RevisionResolutionError) as error:
        raise _translated(error, repository, revision) from error


def _translated(error: Exception, repository: str, revision: str | None) -> TuneryError:
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    chain = list(_causes(error))
    answered = next((e for e in chain if getattr(e, "response", None) is not None), None)
    status = answered.response.status_code if answered else None  # type: ignore[attr-defined]
    known = isinstance(answered, RepositoryNotFoundError) and not isinstance(answered, GatedRepoError)
    anonymous = constants.HF_HUB_DISABLE_IMPLICIT_TOKEN
    if not known and (status in (401, 403) or isinstance(answered, GatedRepoError)):
        if anonymous:
            return Refused(f"{repository} is gated, and {_NOT_YOURS}")
        return Refused(
            f"{repository} is gated, or HF_TOKEN may not read it: ask for access on its page, then set HF_TOKEN to a "
            f"token of the account that has it"
        )
    if known:
        why = _NOT_YOURS if anonymous else "HF_TOKEN may not read it"
        return NotFound(f"{constants.ENDPOINT} has no model {repository!r}, or it is private and {why}")
    if isinstance(answered, RevisionNotFoundError):
        return NotFound(f"{repository} has no revision {revision!r} at {constants.ENDPOINT}")
    if any(getattr(e, "errno", None) in (errno.ENOSPC, errno.EDQUOT) for e in chain):
        return Exhausted(f"the disk that holds the Hub's cache is full; {repository} was not fetched")
    if str(error).startswith("Consistency check failed"):
        return Unavailable(f"a file of {repository} came cut short and was thrown away; run it again")
    if _is_offline():
        return Unavailable(f"{repository} is not whole in the Hub's cache, and offline mode forbids to fetch it")
    reason = f"it answered {status}" if status else type(chain[-1]).__name__
    return Unavailable(
        f"{repository} is not in the Hub's cache and cannot be fetched from {constants.ENDPOINT} ({reason}); "
        f"try again, or set HF_ENDPOINT to one that answers"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
