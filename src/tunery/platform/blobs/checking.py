"""Look every byte over: segments present, unsealed, decoded, hashed; damage is named, and mended from a mirror."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace

import sqlalchemy as sa
from blake3 import blake3
from sqlalchemy.orm import Session

from tunery.errors import IntegrityError, NotFound, TuneryError, Unavailable
from tunery.kit.ids import new_id
from tunery.platform.blobs.backends import Backend
from tunery.platform.blobs.copying import fetch_pack
from tunery.platform.blobs.index import in_parts
from tunery.platform.blobs.packs import pack_name, read_footer
from tunery.platform.blobs.segments import Found, find_segments
from tunery.platform.blobs.store import BlobStore
from tunery.platform.blobs.tables import BlobRow, Pack, Piece, Segment

__all__ = ["Damage", "check", "files_of", "mend"]

_READ_BYTES = 16 << 20


@dataclass(frozen=True)
class Damage:
    """Something that is not as it should be.

    Attributes:
        pack_id: The pack it lies in; empty where the index itself is wrong.
        reason: What is wrong, for people.
        segments: Hashes of the damaged segments, hex; empty where only the frame of the pack is damaged.
        files: Digests of the files that cannot be read whole because of it.
        mended: Whether it was, and is whole now.
        not_mended: Why that did not succeed, where it was tried.
    """

    pack_id: str
    reason: str
    segments: list[str]
    files: list[str]
    mended: bool = False
    not_mended: str = ""


def check(
    store: BlobStore, tenant_id: str, *, quick: bool = False, watch: Callable[[int, int], None] | None = None
) -> Iterator[Damage]:
    """Yield what is damaged or missing in a tenant's store.

    Args:
        store: The store.
        tenant_id: Whose bytes to look over.
        quick: Compare the packs with their checksums only, without opening each segment.
        watch: Told before each pack how many are done, and how many there are; it may raise to end the look.
    """
    yield from _index_faults(store, tenant_id)
    with store.database.session(tenant_id, read_only=True) as session:
        packs = session.scalars(sa.select(Pack).where(Pack.doomed_at.is_(None)).order_by(Pack.id)).all()
    for done, pack in enumerate(packs):
        if watch is not None:
            watch(done, len(packs))
        reason = _fault_of(store, tenant_id, pack)
        if reason or not quick:
            bad = _bad_segments(store, tenant_id, pack.id)
            if (reason or bad) and _pack(store, tenant_id, pack.id):
                files = files_of(store, tenant_id, [one.number for one in bad])
                yield Damage(pack.id, reason or "segments do not decode", [one.hash.hex() for one in bad], files)


def mend(store: BlobStore, tenant_id: str, damages: Iterable[Damage], mirror: Backend) -> list[Damage]:
    """Put good copies of damaged packs in their place, and tell which are whole now, and why others are not.

    First all copies are put back, then all are looked over: what leans on a pack is whole only when that one is. The
    damaged packs are kept aside under ``damaged/``.
    """
    told = [(damage, _put_back(store, tenant_id, damage, mirror)) for damage in damages]
    looked_over = [(one, why or _still_wrong(store, tenant_id, one)) for one, why in told]
    return [replace(one, mended=not why, not_mended=why) for one, why in looked_over]


def _put_back(store: BlobStore, tenant_id: str, damage: Damage, mirror: Backend) -> str:
    """Replace a pack whose own bytes are damaged; return why that was not possible."""
    if not damage.pack_id:
        return "the index is wrong, not a pack; `tunery store rebuild` writes it again"
    pack = _pack(store, tenant_id, damage.pack_id)
    if pack is None:
        return "the pack was emptied or destroyed meanwhile"
    if not _fault_of(store, tenant_id, pack):
        return ""
    name = pack_name(tenant_id, pack.id)
    aside = f"damaged/{name}.{new_id()}"
    try:
        with contextlib.suppress(NotFound):
            store.backend.put(aside, store.backend.read(name))
        fetch_pack(mirror, pack, store.backend, store)
    except (NotFound, IntegrityError) as error:
        store.backend.delete(aside)
        return f"there is no good copy: {error.message}; nothing was changed"
    return ""


def _still_wrong(store: BlobStore, tenant_id: str, damage: Damage) -> str:
    pack = _pack(store, tenant_id, damage.pack_id)
    if pack is None:
        return "the pack was emptied or destroyed meanwhile"
    if reason := _fault_of(store, tenant_id, pack):
        return reason
    if bad := _bad_segments(store, tenant_id, pack.id):
        leaned_on = {one.reference.pack_id for one in bad if one.reference} or {"none"}
        return f"its own bytes are good; what it leans on is damaged, in packs {', '.join(sorted(leaned_on))}"
    return ""


def _fault_of(store: BlobStore, tenant_id: str, pack: Pack) -> str:
    name = pack_name(tenant_id, pack.id)
    try:
        hasher, position = blake3(), 0
        while position < pack.size_bytes:
            length = min(_READ_BYTES, pack.size_bytes - position)
            hasher.update(store.backend.read(name, position, length))
            position += length
        if hasher.hexdigest() != pack.checksum:
            return "its bytes are not those that were written"
        read_footer(store.backend, store.keyring, tenant_id, pack.id, pack.size_bytes)
    except Unavailable:
        raise
    except TuneryError as error:
        return str(error)
    return ""


def _bad_segments(store: BlobStore, tenant_id: str, pack_id: str) -> list[Found]:
    """Segments of the pack that cannot be read, those that lean on a damaged one elsewhere included."""
    with store.database.session(tenant_id, read_only=True) as session:
        found = find_segments(session, Segment.pack_id == pack_id)
    bad = []
    for one in found:
        try:
            store.reader.content(tenant_id, one)
        except Unavailable:
            raise
        except NotFound:  # collected or destroyed since its row was read
            continue
        except TuneryError:
            bad.append(one)
    return bad


def _pack(store: BlobStore, tenant_id: str, pack_id: str) -> Pack | None:
    """Return a pack's row, unless the pack was emptied while it was looked over."""
    with store.database.session(tenant_id, read_only=True) as session:
        pack = session.get(Pack, pack_id)
        return pack if pack is not None and pack.doomed_at is None else None


def files_of(store: BlobStore, tenant_id: str, numbers: Collection[int]) -> list[str]:
    """Return the digests of the files that need any of these segments, also for what leans on them."""
    with store.database.session(tenant_id, read_only=True) as session:
        files: set[str] = set()
        for part in in_parts(numbers):
            needed = sa.select(Segment.number).where(
                sa.or_(Segment.number.in_(part), Segment.reference_number.in_(part))
            )
            rows = sa.select(BlobRow.digest).join(Piece, Piece.blob_id == BlobRow.id)
            files.update(session.scalars(rows.where(Piece.segment_number.in_(needed))))
        return sorted(files)


def _index_faults(store: BlobStore, tenant_id: str) -> Iterator[Damage]:
    """Files whose pieces do not follow one another from the first byte to the last."""
    with store.database.session(tenant_id, read_only=True) as session:
        rows = session.execute(sa.select(BlobRow.id, BlobRow.digest, BlobRow.size_bytes)).all()
        for blob_id, digest, size in rows:
            if _covered(session, blob_id) != size:
                yield Damage("", f"the pieces of file {digest} do not make up its {size} bytes", [], [digest])


def _covered(session: Session, blob_id: str) -> int:
    statement = sa.select(Piece.start, Segment.size).join(Segment, Piece.segment_number == Segment.number)
    end = 0
    for start, size in session.execute(statement.where(Piece.blob_id == blob_id).order_by(Piece.position)):
        if start != end:
            return -1
        end += size
    return end
