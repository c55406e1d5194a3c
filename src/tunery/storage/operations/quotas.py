"""Set what a tenant may store."""

from __future__ import annotations

import sqlalchemy as sa

from tunery import audit
from tunery.errors import Forbidden, NotFound
from tunery.identity.tables import Tenant
from tunery.kit.actor import Actor
from tunery.platform.ground import Ground
from tunery.storage.quotas import Quota, quota_of
from tunery.storage.schemas import QuotaSet
from tunery.storage.tables import StorageQuota

__all__ = ["set_quota"]


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
