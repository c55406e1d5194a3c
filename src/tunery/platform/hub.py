"""The Hugging Face Hub's own client, in a child process: it can be cancelled at any byte, and what it loads goes.

Its variables (``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HUB_OFFLINE``, ``HF_HOME``) and its cache hold: a file that arrived
whole is never fetched again. What is fetched, and what never is, say those who use this.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

from tunery.errors import (
    Cancelled,
    DigestMismatch,
    Exhausted,
    InvalidInput,
    NotFound,
    Refused,
    TuneryError,
    Unavailable,
)
from tunery.kit.digests import sha256_file
from tunery.kit.extras import require
from tunery.platform.compute import ENTRIES, run_in_child
from tunery.platform.ground import Ground

__all__ = ["Kind", "hub_errors", "is_offline", "pin_on_hub", "place_file", "reporting_bar", "run_hub_client"]

Kind: TypeAlias = Literal["model", "dataset"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NOT_YOURS = (
    "this server's HF_TOKEN does not serve your tenant (its operator may set TUNERY_HUB_TOKEN_SHARED); download it "
    "yourself and name what you downloaded"
)

ENTRIES.register("platform.resolve_commit")("tunery.platform.hub:resolve_commit")


def pin_on_hub(ground: Ground, environment: Mapping[str, str], text: str, kind: Kind) -> str:
    """Return ``org/name@COMMIT`` for ``org/name[@revision]``; where the Hub is away, by what its cache knows.

    Args:
        ground: For the log.
        environment: Variables of the Hub's client.
        text: The repository, and the revision if it is not the main branch.
        kind: What is in it.

    Raises:
        NotFound: No such repository or revision. Refused: HF_TOKEN does not open it. Unavailable: the Hub is away.
    """
    repository, _, revision = text.partition("@")
    if _COMMIT.fullmatch(revision):
        return text
    order = {"repository": repository, "revision": revision or None, "kind": kind}
    found = run_hub_client("platform.resolve_commit", ground, environment, order, lambda event: None, lambda: False)
    # The Hub's client may have read the revision's name as a path in its cache.
    if not _COMMIT.fullmatch(found["commit"]):
        raise NotFound(f"{repository} has no revision {revision or 'main'!r} that can be pinned to a commit")
    return f"{repository}@{found['commit']}"


def resolve_commit(
    order: dict[str, Any], emit: Callable[[dict[str, Any]], None], cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """Ask the Hub, in a child process, which commit a revision is."""
    with hub_errors(order["repository"], order["revision"], order["kind"]):
        from huggingface_hub import HfApi

        found = HfApi().resolve_revision(
            order["repository"],
            repo_type=order["kind"],
            revision=order["revision"],
            local_files_only=is_offline(),
        )
    return {"commit": found.resolved}


def run_hub_client(
    entry: str,
    ground: Ground,
    environment: Mapping[str, str],
    order: dict[str, Any],
    on_event: Callable[[dict[str, Any]], None],
    cancelled: Callable[[], bool],
) -> dict[str, Any]:
    """Run an entry that uses the Hub's client in a child process. Raises: as ``run_in_child``."""
    return run_in_child(
        entry,
        order,
        log_path=ground.settings.folder("logs") / "hub.log",
        on_event=on_event,
        cancelled=cancelled,
        environment=dict(environment),
    )


def is_offline() -> bool:
    """Tell, in the child, whether the client may only look into its cache."""
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE


def reporting_bar(repository: str, emit: Callable[[dict[str, Any]], None], cancelled: Callable[[], bool]) -> type[Any]:
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


def place_file(source: Path, target: Path) -> None:
    """Link or copy a file of the cache; the name of a large one there is the SHA-256 that the Hub says it has."""
    if _SHA256.fullmatch(source.name) and sha256_file(source) != source.name:
        source.unlink()
        raise DigestMismatch(f"{target.name} came damaged from the Hub and was thrown away; run it again")
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


@contextmanager
def hub_errors(repository: str, revision: str | None, kind: Kind) -> Iterator[None]:
    """Raise what the Hub's client raises as errors of ours, in words for the one who wrote the recipe."""
    require("huggingface_hub", "train")
    from huggingface_hub.errors import HFValidationError, RevisionResolutionError
    from huggingface_hub.errors import HTTPError as ClientError  # type: ignore[attr-defined]

    try:
        yield
    except HFValidationError as error:
        raise InvalidInput(f"{repository!r} is no repository id of the Hub: write org/name") from error
    except (OSError, ClientError, RevisionResolutionError) as error:
        raise _translated(error, repository, revision, kind) from error


def _translated(error: Exception, repository: str, revision: str | None, kind: Kind) -> TuneryError:
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
        return NotFound(f"{constants.ENDPOINT} has no {kind} {repository!r}, or it is private and {why}")
    if isinstance(answered, RevisionNotFoundError):
        return NotFound(f"{repository} has no revision {revision!r} at {constants.ENDPOINT}")
    if any(getattr(e, "errno", None) in (errno.ENOSPC, errno.EDQUOT) for e in chain):
        return Exhausted(f"the disk that holds the Hub's cache is full; {repository} was not fetched")
    if str(error).startswith("Consistency check failed"):
        return Unavailable(f"a file of {repository} came cut short and was thrown away; run it again")
    if is_offline():
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
