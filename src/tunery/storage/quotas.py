"""How much a tenant may store: reserved when bytes begin to come, counted when they become visible.

Every sum is taken under the lock of the tenant's quota row (on SQLite under the one writer's lock), which is held until
the bytes or the reservation are committed, so that two deeds never both take the last place.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tunery.errors import Exhausted
from tunery.kit.clock import now
from tunery.kit.units import format_bytes
from tunery.platform.blobs.admission import ADMISSIONS
from tunery.platform.blobs.tables import Pack
from tunery.storage.tables import StorageQuota, UploadSession

__all__ = ["Quota", "quota_of", "reserve", "reserved_for"]

_HOLDING = ("open", "body")
_SEALING_SHARE = 256
_SEALING_BYTES = 4096
"""Sealing and listing cost less than 1/256 of what is stored, and some hundred bytes a pack."""


@dataclass(frozen=True)
class Quota:
    """What a tenant may store, stores, and has reserved, in bytes."""

    limit_bytes: int | None
    stored_bytes: int
    reserved_bytes: int


def quota_of(session: Session) -> Quota:
    """Add up what the session's tenant stores and has reserved."""
    limit = session.scalar(sa.select(StorageQuota.limit_bytes))
    return Quota(limit, _stored(session), _reserved(session, None))


def reserved_for(size_bytes: int) -> int:
    """Return how much a file of that length may come to in the store."""
    return size_bytes + size_bytes // _SEALING_SHARE + _SEALING_BYTES


def reserve(session: Session, reserved_bytes: int, upload_id: str | None = None) -> bool:
    """Make sure that so much may still be stored; the caller's transaction writes the reservation.

    Returns:
        Whether there is a limit at all.

    Args:
        session: The tenant's.
        reserved_bytes: How much in all.
        upload_id: Whose reservation this replaces.

    Raises:
        Exhausted: The quota does not hold it; the numbers are named.
    """
    limit = _held_limit(session)
    _check(session, limit, reserved_bytes, upload_id)
    return limit is not None


@ADMISSIONS.register("quota")
def admit(session: Session, added_bytes: int, upload_id: str | None) -> None:
    """Let bytes become visible if the quota holds them; an upload's reservation is used up in the same transaction."""
    limit = _held_limit(session)
    upload = session.get(UploadSession, upload_id, with_for_update=True) if upload_id else None
    if upload is None or not _holds(upload) or added_bytes > upload.reserved_bytes:
        _check(session, limit, added_bytes, upload_id)
    if upload is not None:
        upload.status = "complete"
        session.flush()


def _holds(upload: UploadSession) -> bool:
    return upload.status in _HOLDING and upload.expires_at > now()


def _held_limit(session: Session) -> int | None:
    """Take the lock, and return the limit. Uploads and packs add up only for who holds it."""
    quota = session.scalars(sa.select(StorageQuota).with_for_update()).one_or_none()
    return quota.limit_bytes if quota is not None else None


def _check(session: Session, limit: int | None, asked_bytes: int, upload_id: str | None) -> None:
    if limit is None:
        return
    stored, reserved = _stored(session), _reserved(session, upload_id)
    if stored + reserved + asked_bytes > limit:
        raise Exhausted(
            f"the quota of {format_bytes(limit)} does not hold {format_bytes(asked_bytes)} more: "
            f"{format_bytes(stored)} are stored and {format_bytes(reserved)} reserved by open uploads; nothing was "
            "kept. Delete model versions (`tunery models delete`) and collect them (`tunery store gc`), abort uploads "
            "(`tunery uploads list`), or ask the operator for a higher quota",
            limit_bytes=limit,
            stored_bytes=stored,
            reserved_bytes=reserved,
            asked_bytes=asked_bytes,
        )


def _stored(session: Session) -> int:
    return int(session.scalar(sa.select(sa.func.sum(Pack.size_bytes)).where(Pack.doomed_at.is_(None))) or 0)


def _reserved(session: Session, but: str | None) -> int:
    statement = sa.select(sa.func.sum(UploadSession.reserved_bytes)).where(
        UploadSession.status.in_(_HOLDING), UploadSession.expires_at > now()
    )
    return int(session.scalar(statement.where(UploadSession.id != but) if but else statement) or 0)
