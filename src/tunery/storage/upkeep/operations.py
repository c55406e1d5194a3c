"""The store's upkeep, as deeds of one tenant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tunery import audit
from tunery.errors import Forbidden, InvalidInput
from tunery.identity.tables import Tenant
from tunery.kit.actor import Actor
from tunery.platform.blobs.backends import open_backend
from tunery.platform.blobs.index import in_parts
from tunery.platform.blobs.references import named_digests, names_of
from tunery.platform.blobs.tables import BlobRow
from tunery.platform.blobs.usage import use_of, use_of_files
from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground
from tunery.platform.jobs import Job, enqueue_job
from tunery.registry.tables import GONE, ModelVersion
from tunery.storage.upkeep.schemas import CheckWish, CodecUseView, CollectWish, ModelUseView, UsageView

__all__ = [
    "digests_of",
    "live_versions",
    "lost_files",
    "require_operator",
    "start_check",
    "start_collection",
    "start_rebuild",
    "start_rotation",
    "usage_of",
    "versions_with",
]


def usage_of(session: TenantSession) -> UsageView:
    """Add up what the tenant keeps: by codec, by model, and in all."""
    use = use_of(session)
    by_model: dict[str, list[ModelVersion]] = defaultdict(list)
    for version in live_versions(session):
        by_model[version.model.name].append(version)
    models = []
    for name, versions in by_model.items():
        logical, stored = use_of_files(session, {digest for version in versions for digest in digests_of(version)})
        models.append(ModelUseView(model=name, versions=len(versions), logical_bytes=logical, stored_bytes=stored))
    return UsageView(
        files=use.files,
        logical_bytes=use.logical_bytes,
        unique_bytes=use.unique_bytes,
        stored_bytes=use.stored_bytes,
        pinned_bytes=use.pinned_bytes,
        saved_share=use.saved_share,
        codecs=[CodecUseView.model_validate(codec) for codec in use.codecs],
        models=sorted(models, key=lambda model: -model.logical_bytes),
    )


def start_check(session: TenantSession, ground: Ground, actor: Actor, wish: CheckWish) -> Job:
    """Have every byte of the tenant looked over, and mended where wanted.

    Raises:
        Forbidden: Only the operator names places to mend from. InvalidInput: there is no such place.
    """
    url = wish.repair_url
    if url == "backup":
        if not ground.settings.backup_url:
            raise InvalidInput("there is no backup to mend from: set TUNERY_BACKUP_URL, or name a place")
    elif url is not None:
        require_operator(session, actor, "name a place to mend from")
        open_backend(url)
    return _start(session, actor, "store.check", {"quick": wish.quick, "repair_url": url}, "store_check_started")


def start_collection(session: TenantSession, ground: Ground, actor: Actor, wish: CollectWish) -> Job:
    """Have what no row names given back; a dry run says which files and bytes that is."""
    hours = wish.grace_hours or ground.settings.store_grace_hours
    payload = {"dry_run": wish.dry_run, "grace_hours": hours}
    return _start(session, actor, "store.gc", payload, "store_collection_started")


def start_rotation(session: TenantSession, actor: Actor) -> Job:
    """Have a new key made for the tenant and the keys of all packs wrapped with it."""
    return _start(session, actor, "store.rotate_keys", {}, "store_key_rotation_started")


def start_rebuild(session: TenantSession, actor: Actor) -> Job:
    """Have the rows of all packs written again from the packs themselves."""
    return _start(session, actor, "store.rebuild", {}, "store_rebuild_started")


def live_versions(session: Session) -> list[ModelVersion]:
    """Return the tenant's versions whose bytes are kept."""
    return list(session.scalars(sa.select(ModelVersion).where(ModelVersion.status.not_in(GONE))))


def digests_of(version: ModelVersion) -> set[str]:
    """Return the digests of a version's files."""
    return {file["digests"]["sha256"] for file in version.manifest["files"]}


def versions_with(versions: Iterable[ModelVersion], digests: Iterable[str]) -> list[str]:
    """Name the versions that hold any of these files."""
    wanted = set(digests)
    return sorted(version.reference for version in versions if wanted & digests_of(version))


def lost_files(session: Session) -> dict[str, list[str]]:
    """Return the files that rows of the house name and the store does not have, and which rows.

    Those that wait for their destruction are left out, and digests of versions, which are of no file.
    """
    lost = named_digests(session) - {*session.scalars(sa.select(BlobRow.digest))}
    for column in (ModelVersion.manifest_digest, ModelVersion.base_digest):
        for part in in_parts([*lost]):
            lost -= {*session.scalars(sa.select(column).where(column.in_(part)))}
    return names_of(session, lost)


def require_operator(session: TenantSession, actor: Actor, what: str) -> None:
    """Raise Forbidden unless the actor belongs to the operator's tenant."""
    tenant = session.get(Tenant, actor.tenant_id)
    if tenant is None or not tenant.is_operator:
        raise Forbidden(f"only the operator tenant may {what}")


def _start(session: TenantSession, actor: Actor, kind: str, payload: dict[str, Any], action: str) -> Job:
    job = enqueue_job(session, actor, kind, payload, "store")
    audit.record(session, actor, action, "store", job=job.id, **payload)
    return job
