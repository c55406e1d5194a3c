"""What of models lies in plain in the caches of a home: checked-out versions, and files converted for engines."""

from __future__ import annotations

import re
import shutil

import sqlalchemy as sa

from tunery.identity.tables import Tenant
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import SWEEPS
from tunery.registry.tables import GONE, ModelVersion

__all__ = ["clear_caches"]

_DIGEST = re.compile("[0-9a-f]{64}")


def clear_caches(ground: Ground, tenant_id: str) -> int:
    """Remove what was made of versions that are gone; return how many folders and files that were.

    An engine that runs keeps what it has open.
    """
    cache = ground.settings.folder("cache")
    kept = [*(cache / "versions" / tenant_id).glob("*"), *(cache / "engines" / tenant_id / "gguf").glob("*")]
    with ground.database.session(tenant_id, read_only=True) as session:
        there = sa.select(ModelVersion.manifest_digest).where(ModelVersion.status.not_in(GONE))
        living = {*session.scalars(there)}
    dead = [path for path in kept if not living.issuperset(_DIGEST.findall(path.name))]
    for path in dead:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(dead)


@SWEEPS.register("cached models")
def _sweep_caches(ground: Ground, _older_than_seconds: float) -> int:
    """Remove what was made of versions that are gone, in the cache of every tenant."""
    with ground.database.system_session("the caches of every tenant are looked through", read_only=True) as session:
        tenants = session.scalars(sa.select(Tenant.id)).all()
    return sum(clear_caches(ground, tenant_id) for tenant_id in tenants)
