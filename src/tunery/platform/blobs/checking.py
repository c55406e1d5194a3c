"""Look every byte over: segments present, unsealed, decoded, hashed; damage is named, and mended from a mirror."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace

import sqlalchemy as sa
from blake3 import blake3
from sqlalchemy.orm import Session

from tunery.errors import IntegrityError, NotFound, TuneryError, Unavailable
from tunery.platform.blobs.backends import Backend
from tunery.platform.blobs.copying import checksum_at, fetch_pack
from tunery.platform.blobs.index import in_parts
from tunery.platform.blobs.packs import pack_name, read_footer
from tunery.platform.blobs.segments import Found, SegmentReader, find_segments
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
    look = _Look(store, tenant_id)
    with store.database.session(tenant_id, read_only=True) as session:
        packs = session.scalars(sa.select(Pack).where(Pack.doomed_at.is_(None)).order_by(Pack.id)).all()
    for done, pack in enumerate(packs):
        if watch is not None:
            watch(done, len(packs))
        reason = look.fault_of(pack)
        if reason or not quick:
            bad = look.bad_segments(pack.id)
            if (reason or bad) and _pack(store, tenant_id, pack.id):
                files = files_of(store, tenant_id, [one.number for one in bad])
                yield Damage(pack.id, reason or "segments do not decode", [one.hash.hex() for one in bad], files)


def mend(store: BlobStore, tenant_id: str, damages: Iterable[Damage], mirror: Backend) -> list[Damage]:
    """Put good copies of damaged packs in their place, and tell which are whole now, and why others are not.

    First all copies are put back, then all are looked over: what leans on a pack is whole only when that one is. The
    damaged packs are kept aside under ``damaged/``, the same bytes once. A key is not mended: no mirror has it.
    """
    look = _Look(store, tenant_id)
    told = [(damage, _put_back(look, damage, mirror)) for damage in damages]
    looked_over = [(one, why or _still_wrong(look, one)) for one, why in told]
    return [replace(one, mended=not why, not_mended=why) for one, why in looked_over]


class _Look:
    """A look at packs with their keys as they are kept, whatever this process remembers of them."""

    def __init__(self, store: BlobStore, tenant_id: str) -> None:
        self.store = store
        self.tenant_id = tenant_id
        self._keyring = store.keyring.fresh()
        self._reader = SegmentReader(store.database, store.backend, self._keyring)

    def fault_of(self, pack: Pack) -> str:
        """Say what is wrong with a pack's bytes, its key or its frame."""
        return self.fault_of_bytes(pack) or self.fault_of_key(pack)

    def fault_of_bytes(self, pack: Pack) -> str:
        try:
            whole = checksum_at(self.store.backend, pack) == pack.checksum
        except (NotFound, IntegrityError) as error:
            return error.message
        return "" if whole else "its bytes are not those that were written"

    def fault_of_key(self, pack: Pack) -> str:
        if fault := self._keyring.fault_of(self.tenant_id, pack.id):
            return fault
        try:
            read_footer(self.store.backend, self._keyring, self.tenant_id, pack.id, pack.size_bytes)
        except Unavailable:
            raise
        except TuneryError as error:
            return error.message
        return ""

    def bad_segments(self, pack_id: str) -> list[Found]:
        """Segments of the pack that cannot be read, those that lean on a damaged one elsewhere included."""
        with self.store.database.session(self.tenant_id, read_only=True) as session:
            found = find_segments(session, Segment.pack_id == pack_id)
        bad = []
        for one in found:
            try:
                self._reader.content(self.tenant_id, one)
            except Unavailable:
                raise
            except NotFound:  # collected or destroyed since its row was read
                continue
            except TuneryError:
                bad.append(one)
        return bad


def _put_back(look: _Look, damage: Damage, mirror: Backend) -> str:
    """Replace a pack whose own bytes are damaged; return why that was not possible."""
    if not damage.pack_id:
        return "the index is wrong, not a pack; `tunery store rebuild` writes it again"
    pack = _pack(look.store, look.tenant_id, damage.pack_id)
    if pack is None:
        return "the pack was emptied or destroyed meanwhile"
    if not look.fault_of_bytes(pack):
        return look.fault_of_key(pack)
    aside = _set_aside(look.store.backend, pack_name(look.tenant_id, pack.id))
    try:
        fetch_pack(mirror, pack, look.store.backend, look.store)
    except (NotFound, IntegrityError) as error:
        if aside:
            look.store.backend.delete(aside)
        return f"there is no good copy: {error.message}; nothing was changed"
    return ""


def _set_aside(backend: Backend, name: str) -> str:
    """Keep a damaged pack under a name of its content; return that, or nothing where nothing was written."""
    try:
        damaged = backend.read(name)
    except (NotFound, IntegrityError):
        return ""
    aside = f"damaged/{name}.{blake3(damaged).hexdigest()[:16]}"
    return aside if backend.put_new(aside, damaged) else ""


def _still_wrong(look: _Look, damage: Damage) -> str:
    pack = _pack(look.store, look.tenant_id, damage.pack_id)
    if pack is None:
        return "the pack was emptied or destroyed meanwhile"
    if reason := look.fault_of(pack):
        return reason
    if bad := look.bad_segments(pack.id):
        leaned_on = {one.reference.pack_id for one in bad if one.reference} or {"none"}
        return f"its own bytes are good; what it leans on is damaged, in packs {', '.join(sorted(leaned_on))}"
    return ""


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
