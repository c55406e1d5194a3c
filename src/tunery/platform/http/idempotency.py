"""Idempotency keys: a mutating call that is repeated with its key gets the first answer and does nothing twice.

The row is written in the deed's transaction. Crash: both or neither are there. Erasure: rows go with their tenant, and
when they are older than ``idempotency_seconds``. The key counts within one tenant and one operation.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from fastapi.encoders import jsonable_encoder
from sqlalchemy.exc import IntegrityError as DuplicateKey
from sqlalchemy.orm import Mapped, mapped_column

from tunery.errors import Conflict, IdempotencyMismatch, MalformedRequest
from tunery.kit.clock import now
from tunery.kit.digests import sha256_json
from tunery.platform.db.base import Base, Identified, TenantOwned
from tunery.platform.db.session import TenantSession
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import SWEEPS
from tunery.settings import Settings

__all__ = ["IdempotencyKey", "answer_for", "remember"]


class IdempotencyKey(Identified, TenantOwned, Base):
    """A key, the request it came with and the answer that was given."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "operation_id", "key"),)

    operation_id: Mapped[str] = mapped_column(sa.String(100))
    key: Mapped[str] = mapped_column(sa.String(200))
    request_digest: Mapped[str] = mapped_column(sa.String(64))
    answer: Mapped[dict[str, Any]]


def answer_for(
    session: TenantSession, settings: Settings, operation_id: str, key: str, arguments: dict[str, Any]
) -> dict[str, Any] | None:
    """Return the answer this key got before, or None. Raises: IdempotencyMismatch: it came with other arguments."""
    if not 1 <= len(key) <= 200:
        raise MalformedRequest("Idempotency-Key must be 1 to 200 characters")
    statement = sa.select(IdempotencyKey).where(IdempotencyKey.operation_id == operation_id, IdempotencyKey.key == key)
    row = session.scalars(statement).one_or_none()
    if row is None:
        return None
    if row.created_at < _limit(settings):
        session.execute(sa.delete(IdempotencyKey).where(IdempotencyKey.id == row.id))
        return None
    if row.request_digest != _digest(arguments):
        raise IdempotencyMismatch
    return row.answer


def remember(
    session: TenantSession, operation_id: str, key: str, arguments: dict[str, Any], answer: dict[str, Any]
) -> None:
    """Keep the answer beside the deed. Raises: Conflict: the same call is being carried out at this moment."""
    session.add(IdempotencyKey(operation_id=operation_id, key=key, request_digest=_digest(arguments), answer=answer))
    try:
        session.flush()
    except DuplicateKey as duplicate:
        raise Conflict(
            "the same call is being carried out at this moment; ask for its result in a moment"
        ) from duplicate


@SWEEPS.register("idempotency keys")
def _sweep(ground: Ground, _older_than_seconds: float) -> int:
    with ground.database.system_session("keys that have outlived their use are deleted") as session:
        statement = sa.delete(IdempotencyKey).where(IdempotencyKey.created_at < _limit(ground.settings))
        return session.execute(statement.execution_options(synchronize_session=False)).rowcount  # type: ignore[attr-defined,no-any-return]


def _limit(settings: Settings) -> datetime:
    return now() - timedelta(seconds=settings.idempotency_seconds)


def _digest(arguments: dict[str, Any]) -> str:
    return sha256_json(jsonable_encoder(arguments))
