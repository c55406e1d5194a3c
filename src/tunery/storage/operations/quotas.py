"""Set what a tenant may store, and see what each does."""

from __future__ import annotations

from dataclasses import asdict

import sqlalchemy as sa

from tunery import audit
from tunery.errors import Forbidden, NotFound
from tunery.identity.tables import Tenant
from tunery.kit.actor import Actor
from tunery.platform.blobs.tables import BlobRow
from tunery.platform.ground import Ground
from tunery.storage.quotas import Quota, quota_of
from tunery.storage.schemas import QuotaSet, TenantUseView
from tunery.storage.tables import StorageQuota

__all__ = ["list_tenants", "set_quota"]


def set_quota(ground: Ground, actor: Actor, wish: QuotaSet) -> Quota:
    """Set a tenant's quota; what is stored stays, even if it is more. Only members of the operator tenant may.

    Raises:
        Forbidden: The actor's tenant is not the operator. NotFound: there is no such tenant.
    """
    with ground.database.system_session("the operator sets a tenant's quota") as session:
        own = session.get(Tenant, actor.tenant_id)
        if own is None or not own.is_operator:
            raise Forbidden("only the operator tenant may set quotas")
        tenant = session.scalars(sa.select(Tenant).where(Tenant.name == wish.tenant)).one_or_none()
        if tenant is None:
            raise NotFound(f"there is no tenant {wish.tenant!r}")
        audit.record(session, actor, "quota_set", wish.tenant, limit_bytes=wish.limit_bytes)
    with ground.database.session(tenant.id) as session:
        row = session.scalars(sa.select(StorageQuota).with_for_update()).one_or_none()
        if row is None:
            session.add(StorageQuota(limit_bytes=wish.limit_bytes))
        else:
            row.limit_bytes = wish.limit_bytes
        session.flush()
        return quota_of(session)


def list_tenants(ground: Ground, actor: Actor) -> list[TenantUseView]:
    """Add up what each tenant keeps, the most first. Raises: Forbidden: the actor's tenant is not the operator."""
    with ground.database.system_session("the operator sees what each tenant stores", read_only=True) as session:
        own = session.get(Tenant, actor.tenant_id)
        if own is None or not own.is_operator:
            raise Forbidden("only the operator tenant may see what others store")
        tenants = session.execute(sa.select(Tenant.id, Tenant.name)).all()
    found = []
    for tenant_id, name in tenants:
        with ground.database.session(tenant_id, read_only=True) as session:
            files, length = session.execute(sa.select(sa.func.count(BlobRow.id), sa.func.sum(BlobRow.size_bytes))).one()
            use = asdict(quota_of(session))
        found.append(TenantUseView(tenant=name, files=files, logical_bytes=int(length or 0), **use))
    return sorted(found, key=lambda use: (-use.stored_bytes, use.tenant))
