"""Once a day: give back what no row names, tenant by tenant."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
import structlog

from tunery.errors import TuneryError
from tunery.identity.tables import Tenant
from tunery.platform.blobs.collecting import collect
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import SWEEPS

__all__ = ["sweep_bytes"]

log = structlog.get_logger(__name__)


@SWEEPS.register("unnamed bytes")
def sweep_bytes(ground: Ground, _older_than_seconds: float = 0) -> int:
    """Collect what no row names; of every tenant, for an upload that broke off may leave packs without any row."""
    with ground.database.system_session("the bytes of every tenant are looked through", read_only=True) as session:
        tenants = session.scalars(sa.select(Tenant.id)).all()
    grace, count = timedelta(hours=ground.settings.store_grace_hours), 0
    for tenant_id in tenants:
        try:
            count += len(collect(ground.blobs, tenant_id, grace=grace).files)
        except TuneryError as error:  # what one tenant's damage stops goes on for the others
            log.error("a tenant's bytes were not collected", tenant=tenant_id, reason=str(error))
    return count
