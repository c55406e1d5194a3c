"""The durable jobs of upkeep. Each may be killed anywhere and repeated: what is done already is found done."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from tunery import audit
from tunery.datasets.versions.rebuilding import rebuild_logs
from tunery.errors import NotFound
from tunery.inference.sweeps import clear_caches
from tunery.kit.clock import now
from tunery.platform.blobs.backends import Backend, open_backend
from tunery.platform.blobs.checking import Damage, check, mend
from tunery.platform.blobs.collecting import collect, orphans_of
from tunery.platform.blobs.destroying import Destroyed, destroy, destroy_dead
from tunery.platform.blobs.rebuilding import rebuild
from tunery.platform.blobs.tables import BlobRow
from tunery.platform.jobs import JobContext, job
from tunery.registry.tables import ModelVersion
from tunery.storage.upkeep.operations import digests_of, live_versions, lost_files, versions_with

__all__ = ["check_store", "collect_bytes", "destroy_version", "rebuild_index", "rotate_keys"]


@job("store.check")
def check_store(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Look every byte of the tenant over; mend from a mirror where one is named."""
    store, tenant_id = context.ground.blobs, context.tenant_id
    grace = timedelta(hours=context.ground.settings.store_grace_hours)
    mirror = _mirror(context, payload.get("repair_url"))

    def passed(done: int, packs: int) -> None:
        context.check_cancelled()
        context.progress({"type": "checked", "done": done, "total": packs}, always=False)

    found = [*check(store, tenant_id, quick=bool(payload["quick"]), watch=passed)]
    if mirror is not None:
        found = mend(store, tenant_id, found, mirror)
    with context.session() as session:
        versions = live_versions(session)
        erased = session.scalars(sa.select(ModelVersion).where(ModelVersion.status == "erased")).all()
        found += [
            Damage("", f"file {digest} is not in the store; named by {', '.join(names[:5])}", [], [digest])
            for digest, names in lost_files(session).items()
        ]
        damages = [{**asdict(damage), "versions": versions_with(versions, damage.files)} for damage in found]
        left = sum(not damage["mended"] for damage in damages)
        audit.record(session, context.actor, "store_checked", "store", damages=len(damages), left=left)
    return {
        "damages": damages,
        "left": left,
        "destroyed_versions": sorted(row.reference for row in erased),
        "unreferenced": orphans_of(store, tenant_id, now() - grace),
    }


@job("store.gc")
def collect_bytes(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Give back what no row names any more, or say what that is."""
    dry_run = bool(payload["dry_run"])
    grace = timedelta(hours=float(payload["grace_hours"]))
    found = collect(context.ground.blobs, context.tenant_id, grace=grace, dry_run=dry_run)
    if not dry_run:
        with context.session() as session:
            freed: dict[str, Any] = {"files": len(found.files), "freed_bytes": found.freed_bytes}
            audit.record(session, context.actor, "store_collected", "store", **freed)
    return asdict(found) | {"dry_run": dry_run}


@job("store.rotate_keys")
def rotate_keys(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Wrap the keys of all packs with a new key of the tenant's."""
    wrapped = context.ground.blobs.keyring.rotate(context.tenant_id)
    with context.session() as session:
        audit.record(session, context.actor, "store_keys_rotated", "store", packs=wrapped)
    return {"packs": wrapped}


@job("store.rebuild")
def rebuild_index(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Write the rows of all packs again from the packs themselves, and the logs of datasets from what SQL records."""
    found = rebuild(context.ground.blobs, context.tenant_id)
    logs = rebuild_logs(context.ground, context.tenant_id)
    with context.session() as session:
        counts: dict[str, Any] = {
            "packs": len(found.packs),
            "files": len(found.files),
            "unreadable": len(found.unreadable),
            "logs": logs,
        }
        audit.record(session, context.actor, "store_rebuilt", "store", **counts)
    return asdict(found) | {"logs": logs}


@job("store.destroy")
def destroy_version(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Destroy the bytes of an erased version for good; files that are needed are spared, with the names of who does."""
    lose_damaged = bool(payload["lose_damaged"])
    with context.session() as session:
        version = session.get_one(ModelVersion, str(payload["version_id"]))
        wanted, reference = digests_of(version), version.reference
    clear_caches(context.ground, context.tenant_id)
    gone, without_row = _destroyed(context, wanted, lose_damaged)
    freed = gone.freed_bytes + (
        destroy_dead(context.ground.blobs, context.tenant_id, lose_damaged=lose_damaged) if without_row else 0
    )
    result: dict[str, Any] = {"destroyed": gone.digests, "spared": gone.spared, "lost": gone.lost, "freed_bytes": freed}
    with context.session() as session:
        audit.record(session, context.actor, "model_destroyed", reference, **result)
    return {"reference": reference, **result}


def _destroyed(context: JobContext, wanted: set[str], lose_damaged: bool) -> tuple[Destroyed, set[str]]:
    """Destroy files; return also those that had no row any more: they were collected, or destroyed by others."""
    while True:
        with context.session() as session:
            here = {*session.scalars(sa.select(BlobRow.digest).where(BlobRow.digest.in_(wanted)))}
        with suppress(NotFound):  # somebody else destroyed one at this moment
            gone = destroy(context.ground.blobs, context.tenant_id, here, lose_damaged=lose_damaged)
            return gone, wanted - here


def _mirror(context: JobContext, url: str | None) -> Backend | None:
    if url is None:
        return None
    return context.ground.blobs.mirror if url == "backup" else open_backend(url)
