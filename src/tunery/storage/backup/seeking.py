"""Find what was moved since a backup: in the packs that took over from those whose keys are gone."""

from __future__ import annotations

from contextlib import suppress

import sqlalchemy as sa
from blake3 import blake3

from tunery.errors import IntegrityError, NotFound, SchemaNewer
from tunery.platform.blobs.copying import fetch_pack
from tunery.platform.blobs.index import in_parts
from tunery.platform.blobs.packs import SCHEMA, Footer, Placed, pack_name, read_footer
from tunery.platform.blobs.sealing import Seal
from tunery.platform.blobs.store import BlobStore
from tunery.platform.blobs.tables import BlobRow, Pack, Piece, Segment
from tunery.platform.db import TenantSession
from tunery.storage.backup.schemas import BackupManifest, BackupPack
from tunery.storage.backup.target import Target

__all__ = ["Seeking"]


class Seeking:
    """Looks for what lay in the lost packs of one tenant in the packs that took over."""

    def __init__(
        self, store: BlobStore, target: Target, manifest: BackupManifest, tenant_id: str, lost: set[str]
    ) -> None:
        self._store, self._target, self._manifest = store, target, manifest
        self._tenant_id, self._lost = tenant_id, lost
        self.damaged: dict[str, str] = {}
        self._unlisted = False
        """Whether a damaged pack cannot even say what it holds."""
        self._spoilt: set[bytes] = set()

    def seek(self) -> None:
        """Point the rows of all that is found; what is damaged is noted."""
        with self._store.database.session(self._tenant_id, read_only=True) as session:
            known = set(session.scalars(sa.select(Pack.id)))
            segments, files = set[bytes](), set[str]()
            for part in in_parts(self._lost):
                segments.update(session.scalars(sa.select(Segment.hash).where(Segment.pack_id.in_(part))))
                files.update(session.scalars(sa.select(BlobRow.digest).where(BlobRow.pack_id.in_(part))))
        keyed = set(self._store.keyring.packs(self._tenant_id)) - known
        sizes = {e.name.rpartition("/")[2]: e.size_bytes for e in self._target.packs.entries(self._tenant_id)}
        for pack_id in sorted(keyed & (sizes.keys() | self._named_later()), reverse=True):
            if not segments and not files:
                return
            try:
                footer = read_footer(
                    self._target.packs, self._store.keyring, self._tenant_id, pack_id, sizes.get(pack_id, 0)
                )
            except (IntegrityError, NotFound) as error:
                self._unlisted = True
                self.damaged[pack_id] = error.message if pack_id in sizes else "it is missing"
                with suppress(IntegrityError, NotFound):  # somebody may find a good copy, of the key too
                    self._store.keyring.renew(self._tenant_id, pack_id)
                continue
            hits = [placed for placed in footer.segments if placed.hash in segments]
            carried = files.intersection(one["digests"]["sha256"] for one in footer.files)
            if hits or carried:
                segments -= self._take_over(pack_id, sizes[pack_id], hits, carried, footer)
                files -= carried
        self._spoilt &= segments

    def damaged_files(self, session: TenantSession) -> set[str] | None:
        """Return the files that need a damaged segment; None where any file that is missing may."""
        if self._unlisted:
            return None
        found: set[str] = set()
        for part in in_parts(self._spoilt):
            spoilt = sa.select(Segment.number).where(Segment.hash.in_(part))
            needing = sa.select(Segment.number).where(
                sa.or_(Segment.number.in_(spoilt), Segment.reference_number.in_(spoilt))
            )
            files = sa.select(BlobRow.digest).join(Piece, Piece.blob_id == BlobRow.id)
            found.update(session.scalars(files.where(Piece.segment_number.in_(needing))))
        return found

    def _named_later(self) -> set[str]:
        """Packs that later backups name must be at their place, too."""
        found: set[str] = set()
        for backup_id in self._target.manifest_ids():
            if backup_id > self._manifest.id:
                try:
                    later = self._target.manifest(backup_id)
                except (IntegrityError, SchemaNewer):
                    continue  # it names nothing that can be trusted, and is not the one that is put back
                named = (*later.packs, *later.missing)
                found.update(pack.id for pack in named if pack.tenant_id == self._tenant_id)
        return found

    def _take_over(
        self, pack_id: str, size_bytes: int, hits: list[Placed], carried: set[str], footer: Footer
    ) -> set[bytes]:
        data = self._target.packs.read(pack_name(self._tenant_id, pack_id))
        seal = Seal(self._store.keyring.of(self._tenant_id, pack_id), self._tenant_id, pack_id)
        whole = [placed for placed in hits if _opens(seal, placed, data)]
        if len(whole) < len(hits):
            self._spoilt.update({placed.hash for placed in hits} - {placed.hash for placed in whole})
            self.damaged[pack_id] = f"{len(hits) - len(whole)} of its segments are damaged"
        pack = BackupPack(
            id=pack_id, tenant_id=self._tenant_id, size_bytes=size_bytes, checksum=blake3(data).hexdigest()
        )
        fetch_pack(self._target.packs, pack, self._store.backend, self._store)
        with self._store.database.session(self._tenant_id) as session:
            return _point(session, pack, whole, carried, self._lost, footer)


def _opens(seal: Seal, placed: Placed, pack: bytes) -> bool:
    try:
        seal.open(placed.ordinal, placed.hash, pack[placed.offset : placed.offset + placed.stored_size])
    except IntegrityError:
        return False
    return True


def _point(
    session: TenantSession, pack: BackupPack, hits: list[Placed], carried: set[str], lost: set[str], footer: Footer
) -> set[bytes]:
    """Point the rows of segments and files to where they lie now; those that lean on nothing first."""
    row = Pack(id=pack.id, schema=SCHEMA, size_bytes=pack.size_bytes, checksum=pack.checksum)
    row.content_bytes, row.files = sum(placed.stored_size for placed in footer.segments), len(footer.files)
    session.add(row)
    session.flush()
    found: set[bytes] = set()
    for placed in sorted(hits, key=lambda placed: placed.reference is not None):
        number = None
        if placed.reference is not None:
            number = session.scalar(sa.select(Segment.number).where(Segment.hash == placed.reference))
            if number is None:
                continue
        session.execute(
            sa.update(Segment)
            .where(Segment.hash == placed.hash)
            .values(
                pack_id=pack.id,
                ordinal=placed.ordinal,
                offset=placed.offset,
                stored_size=placed.stored_size,
                codec=placed.codec,
                reference_number=number,
            )
        )
        found.add(placed.hash)
    for part in in_parts(carried):
        session.execute(sa.update(BlobRow).where(BlobRow.digest.in_(part)).values(pack_id=pack.id))
    return found
