"""What happens to a version after it was registered."""

from __future__ import annotations

from typing import Any

from tunery import audit
from tunery.errors import Conflict, Forbidden
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.platform.blobs.references import DOOMED
from tunery.platform.db import TenantSession, compare_and_set
from tunery.platform.events import emit
from tunery.platform.jobs import enqueue_job
from tunery.registry.operations.lookup import get_model, hold_version, resolve_version
from tunery.registry.rules import check_allowed, check_move
from tunery.registry.schemas import ModelUpdate, VersionUpdate
from tunery.registry.tables import GONE, Model, ModelVersion
from tunery.registry.uses import uses_of

__all__ = ["delete_version", "move_stage", "record_scores", "update_model", "update_version"]


def move_stage(session: TenantSession, actor: Actor, version_id: str, seen_stage: str, to_stage: str) -> ModelVersion:
    """Move a version's stage if it is still where the caller saw it.

    Raises:
        Refused: No such transition. StaleState: somebody else moved it first.
    """
    version = resolve_version(session, version_id)
    check_move(seen_stage, to_stage)
    new: dict[str, Any] = {"stage": to_stage, "updated_at": now()}
    if to_stage == "production":
        new["was_in_production"] = True
    compare_and_set(session, ModelVersion, version.id, {"stage": seen_stage}, new)
    audit.record(session, actor, "model_stage_moved", version.reference, environment=to_stage, seen=seen_stage)
    data = {"version_id": version.id, "from": seen_stage, "to": to_stage}
    emit(session, actor, "models.stage_moved", f"models/{version.reference}", data)
    return version


def record_scores(session: TenantSession, version_id: str, scores: dict[str, Any]) -> None:
    """Keep measured scores with a version, by metric; a later measurement of a metric replaces the earlier one."""
    version = resolve_version(session, version_id)
    version.scores = {**version.scores, **scores}
    version.evaluated_at = now()


def update_model(session: TenantSession, actor: Actor, name: str, wish: ModelUpdate) -> Model:
    """Change a model's description, tags, category or licence; absent fields stay."""
    model = get_model(session, name)
    for field in ("description", "category", "license"):
        if (value := getattr(wish, field)) is not None:
            setattr(model, field, value)
    model.tags = sorted({*model.tags, *wish.add_tags} - {*wish.remove_tags})
    audit.record(session, actor, "model_updated", model.name, changes=wish.model_dump(exclude_unset=True))
    return model


def update_version(session: TenantSession, actor: Actor, reference: str, wish: VersionUpdate) -> ModelVersion:
    """Change a version's changelog or metadata while its stage allows it. Raises: Refused: it does not."""
    version = resolve_version(session, reference)
    check_allowed(version.stage, "update")
    if wish.changelog is not None:
        version.changelog = wish.changelog
    if wish.metadata is not None:
        version.details = {**version.details, **wish.metadata}
    audit.record(session, actor, "model_updated", version.reference)
    return version


def delete_version(
    session: TenantSession, actor: Actor, reference: str, *, destroy: bool = False, lose_damaged: bool = False
) -> tuple[ModelVersion, str | None]:
    """Take a version out of sight; its bytes go when nothing else needs them, or are destroyed for good.

    Args:
        session: The session of the deed.
        actor: Who wants it.
        reference: The version.
        destroy: Destroy its bytes now, beyond every backup; a job does it. What others need is spared. A version that
            was deleted before can be destroyed still, and a destruction that failed be ordered again.
        lose_damaged: Give up damaged files that lie beside them rather than the destruction.

    Returns:
        The version, and the id of the job that destroys its bytes.

    Raises:
        Refused: Its stage does not allow it. Conflict: deployments or other versions need it; they are named.
        Forbidden: It is somebody else's and the actor may delete only own ones.
    """
    version = resolve_version(session, reference, gone=destroy)
    if not actor.may("models:delete") and version.created_by != actor.name:
        raise Forbidden(f"you may delete only versions of your own; {version.reference} is {version.created_by}'s")
    if version.status not in GONE:
        check_allowed(version.stage, "delete")
        hold_version(session, version, alone=True)
        if needed_by := uses_of(session, version):
            raise Conflict(
                f"{version.reference} is needed by {', '.join(needed_by)}; delete these first", used_by=needed_by
            )
    compare_and_set(
        session, ModelVersion, version.id, {"status": version.status}, {"status": "erased" if destroy else "deleted"}
    )
    digests = [file["digests"]["sha256"] for file in version.manifest["files"]]
    payload = {"version_id": version.id, DOOMED: digests, "lose_damaged": lose_damaged}
    job = enqueue_job(session, actor, "store.destroy", payload, "store") if destroy else None
    details: dict[str, Any] = {"digest": version.manifest_digest, "destroy": destroy, "lose_damaged": lose_damaged}
    audit.record(session, actor, "model_deleted", version.reference, **details)
    return version, job.id if job else None
