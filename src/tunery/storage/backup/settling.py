"""Make a restored database true again: what moved since, what was destroyed since, what was being done."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from blake3 import blake3

from tunery import audit
from tunery.errors import IntegrityError, NotFound
from tunery.identity.tables import Tenant
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.platform.blobs.backends import Backend
from tunery.platform.blobs.copying import fetch_pack
from tunery.platform.blobs.packs import SCHEMA, Footer, Placed, pack_name, read_footer
from tunery.platform.blobs.store import BlobStore
from tunery.platform.blobs.tables import BlobRow, Pack, Piece, Segment
from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground
from tunery.platform.jobs import Job
from tunery.registry.tables import GONE, ModelVersion
from tunery.storage.backup.schemas import BackupManifest, BackupPack
from tunery.storage.backup.target import Target

__all__ = ["settle"]


def settle(ground: Ground, target: Target, manifest: BackupManifest, destroyed: set[str]) -> list[str]:
    """Bring a restored index and queue into order, and return the model versions whose bytes were destroyed since.

    Segments whose pack lost its key are sought in the packs that took over; those that are nowhere were destroyed, and
    with them go the files that need them. Their versions are marked as erased. Jobs that were running go back to the
    queue.
    """
    by_tenant: dict[str, set[str]] = defaultdict(set)
    for pack in manifest.packs:
        if pack.id in destroyed:
            by_tenant[pack.tenant_id].add(pack.id)
    erased: list[str] = []
    for tenant_id, lost in by_tenant.items():
        _seek_elsewhere(ground.blobs, tenant_id, lost, target.packs)
        with ground.database.session(tenant_id) as session:
            erased += _erase_versions(session, _forget(session, lost))
    with ground.database.system_session("a restored home takes up its jobs again") as session:
        _take_up_jobs(session)
        operator = session.scalars(sa.select(Tenant).where(Tenant.is_operator)).one_or_none()
        if operator is not None:
            actor = Actor(operator.id, None, "system")
            details: dict[str, Any] = {"taken_at": manifest.taken_at.isoformat(), "destroyed_versions": erased}
            audit.record(session, actor, "backup_restored", f"backups/{manifest.id}", **details)
    return sorted(erased)


def _seek_elsewhere(store: BlobStore, tenant_id: str, lost: set[str], source: Backend) -> None:
    with store.database.session(tenant_id, read_only=True) as session:
        needed = set(session.scalars(sa.select(Segment.hash).where(Segment.pack_id.in_(lost))))
        known = set(session.scalars(sa.select(Pack.id)))
    keyed = set(store.keyring.packs(tenant_id))
    for entry in sorted(source.entries(tenant_id), key=lambda entry: entry.name, reverse=True):
        pack_id = entry.name.rpartition("/")[2]
        if not needed or pack_id in known or pack_id not in keyed:
            continue
        try:
            footer = read_footer(source, store.keyring, tenant_id, pack_id, entry.size_bytes)
        except (IntegrityError, NotFound):
            continue  # a damaged pack gives nothing; another may
        hits = [placed for placed in footer.segments if placed.hash in needed]
        if hits:
            checksum = blake3(source.read(pack_name(tenant_id, pack_id))).hexdigest()
            pack = BackupPack(id=pack_id, tenant_id=tenant_id, size_bytes=entry.size_bytes, checksum=checksum)
            fetch_pack(source, pack, store.backend, store)
            with store.database.session(tenant_id) as session:
                needed -= _point(session, pack, hits, lost, footer)


def _point(session: TenantSession, pack: BackupPack, hits: list[Placed], lost: set[str], footer: Footer) -> set[bytes]:
    """Point the rows of segments to where they lie now; those that lean on nothing first."""
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
            .where(Segment.hash == placed.hash, Segment.pack_id.in_(lost))
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
    carried = [file["digests"]["sha256"] for file in footer.files]
    moved = sa.update(BlobRow).where(BlobRow.digest.in_(carried), BlobRow.pack_id.in_(lost))
    session.execute(moved.values(pack_id=pack.id))
    return found


def _forget(session: TenantSession, lost: set[str]) -> set[str]:
    """Drop what is still in lost packs and what needs it; return the digests of the files that went."""
    unreadable = sa.select(Segment.number).where(Segment.pack_id.in_(lost))
    numbers = set(session.scalars(unreadable))
    numbers |= set(session.scalars(sa.select(Segment.number).where(Segment.reference_number.in_(unreadable))))
    holding = sa.select(Piece.blob_id).where(Piece.segment_number.in_(numbers))
    without = sa.select(BlobRow).where(BlobRow.pack_id.in_(lost), BlobRow.id.not_in(sa.select(Piece.blob_id)))
    doomed = [*session.scalars(sa.select(BlobRow).where(BlobRow.id.in_(holding))), *session.scalars(without)]
    digests = {row.digest for row in doomed}
    session.execute(sa.delete(BlobRow).where(BlobRow.id.in_([row.id for row in doomed])))
    for row in session.scalars(sa.select(BlobRow).where(BlobRow.pack_id.in_(lost))).all():
        of_it = sa.select(Segment.pack_id).join(Piece, Piece.segment_number == Segment.number)
        row.pack_id = session.scalars(of_it.where(Piece.blob_id == row.id).limit(1)).one()
    session.flush()
    for only in (Segment.reference_number.is_not(None), sa.true()):
        session.execute(sa.delete(Segment).where(Segment.number.in_(numbers), only))
    session.execute(sa.delete(Pack).where(Pack.id.in_(lost)))
    return digests


def _erase_versions(session: TenantSession, digests: set[str]) -> list[str]:
    erased = []
    for version in session.scalars(sa.select(ModelVersion).where(ModelVersion.status.not_in(GONE))):
        if digests & {file["digests"]["sha256"] for file in version.manifest["files"]}:
            version.status = "erased"
            erased.append(version.reference)
    return erased


def _take_up_jobs(session: sa.orm.Session) -> None:
    """The queue beside the database is new: hand every open job over again; the backup itself is not repeated."""
    open_ones = Job.status.in_(("queued", "running"))
    again = {"status": "queued", "handed_at": None, "lease_token": None, "resumed_at": None, "round": Job.round + 1}
    ended = {"status": "cancelled", "lease_token": None, "resumed_at": None, "finished_at": now()}
    session.execute(sa.update(Job).where(open_ones, Job.kind == "backup.create").values(**ended))
    session.execute(sa.update(Job).where(open_ones).values(**again))
