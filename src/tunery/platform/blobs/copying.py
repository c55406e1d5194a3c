"""Copy packs to another place.

They are immutable, so one that is there with its length is not copied again, unless a look at its bytes left the mark
there that they are not those written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import structlog
from blake3 import blake3

from tunery.errors import IntegrityError, NotFound, Unavailable
from tunery.kit.ids import new_id
from tunery.platform.blobs.backends import Backend
from tunery.platform.blobs.backends.disk import disk_faults
from tunery.platform.blobs.packs import pack_name
from tunery.platform.blobs.store import BlobStore

__all__ = [
    "PackLike",
    "checksum_at",
    "copy_packs",
    "fetch_pack",
    "is_marked",
    "mark_place",
    "require_place",
    "suspect",
    "suspects",
    "trust",
    "unmark_place",
]

log = structlog.get_logger(__name__)

_READ_BYTES = 16 << 20
_MARK = "place"
_SUSPECTS = "suspect"


class PackLike(Protocol):
    """What must be known of a pack to copy it."""

    @property
    def id(self) -> str:
        """Which pack."""

    @property
    def tenant_id(self) -> str:
        """Whose."""

    @property
    def size_bytes(self) -> int:
        """How long it is."""

    @property
    def checksum(self) -> str:
        """BLAKE3 of its bytes, hex."""


def mark_place(target: Backend) -> None:
    """Leave a mark where packs are copied to, so that a disk that is not mounted is not taken for an empty place."""
    target.put(_MARK, b"packs of a Tunery backup\n")


def unmark_place(target: Backend) -> None:
    """Take the mark away from a place that should not have it."""
    target.delete(_MARK)


def is_marked(target: Backend) -> bool:
    """Tell whether the mark is there."""
    try:
        return bool(target.read(_MARK))
    except NotFound:
        return False


def require_place(target: Backend) -> None:
    """Raise Unavailable unless the mark is there."""
    if not is_marked(target):
        raise Unavailable(
            f"there is no backup at {target.url} (is it mounted?); make one with `tunery backup create`. Keys of packs "
            f"are destroyed only after that"
        )


def suspect(target: Backend, name: str) -> None:
    """Leave word that an object there is damaged, so that it is sent again; until then it stays as it is."""
    target.put(f"{_SUSPECTS}/{name}", b"damaged\n")


def suspects(target: Backend) -> set[str]:
    """Return the names of the objects there that are known to be damaged."""
    return {entry.name.removeprefix(f"{_SUSPECTS}/") for entry in target.entries(_SUSPECTS)}


def trust(target: Backend, name: str) -> None:
    """Take that word back: the object was sent again, or is gone."""
    target.delete(f"{_SUSPECTS}/{name}")


def checksum_at(backend: Backend, pack: PackLike) -> str:
    """Return the BLAKE3 of a pack's bytes as they lie somewhere, hex.

    Raises: NotFound: It is missing or cut off. IntegrityError: it cannot be read.
    """
    hasher, position = blake3(), 0
    while position < pack.size_bytes:
        length = min(_READ_BYTES, pack.size_bytes - position)
        hasher.update(backend.read(pack_name(pack.tenant_id, pack.id), position, length))
        position += length
    return hasher.hexdigest()


def copy_packs(
    store: BlobStore,
    packs: Iterable[PackLike],
    target: Backend,
    watch: Callable[[int], None] | None = None,
    *,
    skip_damaged: bool = False,
) -> dict[str, str]:
    """Copy the packs that the target lacks or is known to hold damaged; each is hashed on its way.

    Args:
        store: Where they are.
        packs: Which.
        target: Where they go.
        watch: Told after each pack how many bytes were copied so far.
        skip_damaged: Go on without those that cannot be copied.

    Returns:
        The packs that could not be copied, and why; none unless ``skip_damaged``.

    Raises:
        NotFound: A pack is no longer here. IntegrityError: one is damaged here; its copy would be, too. Neither where
        ``skip_damaged``.
    """
    wanted = [*packs]
    there: dict[str, int] = {}
    for tenant_id in {pack.tenant_id for pack in wanted}:
        there.update({entry.name: entry.size_bytes for entry in target.entries(tenant_id)})
    doubted = suspects(target)
    copied, left = 0, dict[str, str]()
    for pack in wanted:
        name = pack_name(pack.tenant_id, pack.id)
        if there.get(name) == pack.size_bytes and name not in doubted:
            continue
        try:
            fetch_pack(store.backend, pack, target, store)
        except (IntegrityError, NotFound) as error:
            if not skip_damaged:
                raise
            log.warning("a damaged pack is not copied", pack=pack.id, reason=error.message)
            left[pack.id] = error.message
            continue
        if name in doubted:
            trust(target, name)
        copied += pack.size_bytes
        if watch is not None:
            watch(copied)
    return left


def fetch_pack(source: Backend, pack: PackLike, target: Backend, store: BlobStore) -> None:
    """Copy one pack from a place to another, through the staging folder. Raises: NotFound, IntegrityError."""
    name = pack_name(pack.tenant_id, pack.id)
    staged = store.staging / new_id()
    hasher, position = blake3(), 0
    try:
        with disk_faults(), staged.open("xb") as file:
            while position < pack.size_bytes:
                piece = source.read(name, position, min(_READ_BYTES, pack.size_bytes - position))
                hasher.update(piece)
                file.write(piece)
                position += len(piece)
        if hasher.hexdigest() != pack.checksum:
            raise IntegrityError(f"pack {pack.id} is damaged at {source.url}; `tunery store check --repair` mends it")
        target.place(name, staged)
    finally:
        staged.unlink(missing_ok=True)
