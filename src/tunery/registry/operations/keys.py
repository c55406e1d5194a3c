"""The key that signs what a tenant says: of its model versions, and what rooms above have it say."""

from __future__ import annotations

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground
from tunery.registry import signing
from tunery.registry.tables import SigningKey

__all__ = ["public_key", "signing_key"]


def signing_key(session: TenantSession, ground: Ground) -> Ed25519PrivateKey:
    """Return the tenant's signing key, made at the first call; its public half is recorded with the deed."""
    key = signing.load_or_make_key(ground.settings.folder("keys", session.tenant_id))
    pem = signing.public_pem(key)
    key_id = signing.key_id_of(pem)
    if session.scalars(sa.select(SigningKey).where(SigningKey.key_id == key_id)).one_or_none() is None:
        session.add(SigningKey(key_id=key_id, public_key=pem))
        session.flush()
    return key


def public_key(session: TenantSession, key_id: str) -> SigningKey | None:
    """Return one of the tenant's keys by its id, if it is not revoked."""
    statement = sa.select(SigningKey).where(SigningKey.key_id == key_id, SigningKey.revoked_at.is_(None))
    return session.scalars(statement).one_or_none()
