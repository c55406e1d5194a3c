"""Copy packs to another place. They are immutable, so one that is there with its length is never copied again."""

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

__all__ = ["PackLike", "copy_packs", "fetch_pack", "mark_place", "require_place"]

log = structlog.get_logger(__name__)

_READ_BYTES = 16 << 20
_MARK = "place"


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


def require_place(target: Backend) -> None:
    """Raise Unavailable unless the mark is there."""
    try:
        target.read(_MARK)
    except NotFound as error:
        raise Unavailable(
            f"there is no backup at {target.url} (is it mounted?); make one with `tunery backup create`. Keys of packs "
            f"are destroyed only after that"
        ) from error


def copy_packs(
    store: BlobStore,
    packs: Iterable[PackLike],
    target: Backend,
    watch: Callable[[int], None] | None = None,
    *,
    skip_damaged: bool = False,
) -> int:
    """Copy the packs that the target lacks and return how many bytes that were; each is hashed on its way.

    Raises:
        NotFound: A pack is no longer here. IntegrityError: one is damaged here; its copy would be, too. Neither where
        ``skip_damaged`` says to go on without them.
    """
    wanted = [*packs]
    there: dict[str, int] = {}
    for tenant_id in {pack.tenant_id for pack in wanted}:
        there.update({entry.name: entry.size_bytes for entry in target.entries(tenant_id)})
    copied = 0
    for pack in wanted:
        name = pack_name(pack.tenant_id, pack.id)
        if there.get(name) != pack.size_bytes:
            try:
                fetch_pack(store.backend, pack, target, store)
            except (IntegrityError, NotFound) as error:
                if not skip_damaged:
                    raise
                log.warning("a damaged pack is not copied", pack=pack.id, reason=error.message)
                continue
            copied += pack.size_bytes
            if watch is not None:
                watch(copied)
    return copied


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
