"""Use cases of deployments: the row is the wish; the process of the gateway carries it out."""

from __future__ import annotations

import sqlalchemy as sa

from tunery import audit
from tunery.errors import InvalidInput, NotFound, Refused
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.kit.ids import new_id, parse_id
from tunery.platform.db import Page, TenantSession, compare_and_set, page_of
from tunery.platform.ground import Ground
from tunery.registry.operations import resolve_version, use_version
from tunery.registry.tables import ModelVersion
from tunery.registry.uses import VERSION_USES
from tunery.serving.schemas import DeploymentCreate, DeploymentView
from tunery.serving.tables import Deployment

__all__ = [
    "ENDPOINT",
    "delete_deployment",
    "deploy_version",
    "deployment_view",
    "get_deployment",
    "list_deployments",
    "stop_deployments_of",
]

ENDPOINT = "/v1/chat/completions"


def deploy_version(session: TenantSession, ground: Ground, actor: Actor, wish: DeploymentCreate) -> Deployment:
    """Wish that a version answers under a name: makes the deployment, or points the one of that name at the version.

    An earlier version goes on answering until the new one has passed its health check. Wishing the same again is no
    new wish unless it failed or was stopped.

    Raises:
        NotFound: No such version. Refused: the version may not be served.
    """
    version = resolve_version(session, wish.version)
    use_version(session, version)
    _check_servable(version)
    name, engine = wish.name or version.model.name, wish.engine or ground.settings.engine
    row = session.scalars(sa.select(Deployment).where(Deployment.name == name)).one_or_none()
    if row is not None and row.status in ("starting", "ready") and (row.version_id, row.engine) == (version.id, engine):
        return row
    wanted = {
        "environment": wish.environment,
        "target": wish.target,
        "engine": engine,
        "version_id": version.id,
        "manifest_digest": version.manifest_digest,
        "health_check": wish.health_check_enabled,
        "desired_state": "running",
        "status": "starting",
        "status_reason": None,
    }
    if row is None:
        row = Deployment(id=new_id(), name=name, created_by=actor.name, created_by_id=actor.user_id, **wanted)
        session.add(row)
        session.flush()
    else:
        seen = {"revision": row.revision}
        compare_and_set(session, Deployment, row.id, seen, {**wanted, "revision": row.revision + 1})
    session.refresh(row)
    audit.record(
        session,
        actor,
        "model_deployed",
        version.reference,
        environment=wish.environment,
        deployment=name,
        digest=version.manifest_digest,
        engine=engine,
    )
    return row


def list_deployments(session: TenantSession, limit: int = 50, offset: int = 0) -> Page[Deployment]:
    """Return deployments by name."""
    return page_of(session, sa.select(Deployment).order_by(Deployment.name), limit, offset)


def get_deployment(session: TenantSession, name: str) -> Deployment:
    """Return a deployment by name or id. Raises: NotFound."""
    known_id = parse_id(name)
    condition = Deployment.id == known_id if known_id else Deployment.name == name
    row = session.scalars(sa.select(Deployment).where(condition)).one_or_none()
    if row is None:
        raise NotFound(f"there is no deployment {name[:120]!r}; `tunery deployments list` shows what there is")
    return row


def delete_deployment(session: TenantSession, actor: Actor, name: str) -> Deployment:
    """Take a deployment away; within seconds it answers no more, and its engine ends when nothing else needs it."""
    row = get_deployment(session, name)
    session.delete(row)
    audit.record(session, actor, "deployment_deleted", row.name, environment=row.environment, version=row.version_id)
    return row


def stop_deployments_of(session: TenantSession, actor: Actor, version_id: str, reason: str) -> list[Deployment]:
    """Stop every deployment that shall serve a version. Repeating it changes nothing."""
    statement = sa.select(Deployment).where(Deployment.version_id == version_id, Deployment.desired_state == "running")
    rows = list(session.scalars(statement))
    for row in rows:
        compare_and_set(
            session,
            Deployment,
            row.id,
            {"revision": row.revision, "desired_state": "running"},
            {
                "revision": row.revision + 1,
                "desired_state": "stopped",
                "status": "stopped",
                "status_reason": reason,
                "served_version_id": None,
                "served_engine": None,
                "updated_at": now(),
            },
        )
        audit.record(session, actor, "deployment_stopped", row.name, environment=row.environment, reason=reason)
    return rows


def deployment_view(row: Deployment) -> DeploymentView:
    """Return a deployment as answers show it."""
    return DeploymentView(
        id=row.id,
        name=row.name,
        environment=row.environment,
        target=row.target,
        engine=row.engine,
        version=row.version.reference,
        version_digest=row.manifest_digest,
        status=row.status,
        status_reason=row.status_reason,
        served_version=row.served_version.reference if row.served_version else None,
        template_digest=row.template_digest,
        endpoint=ENDPOINT,
        created_by=row.created_by,
        created_at=row.created_at,
        deployed_at=row.deployed_at,
    )


@VERSION_USES.register("deployment")
def _deployments_of(session: TenantSession, version: ModelVersion) -> list[str]:
    statement = sa.select(Deployment.name).where(
        Deployment.desired_state == "running",
        sa.or_(Deployment.version_id == version.id, Deployment.served_version_id == version.id),
    )
    return list(session.scalars(statement.order_by(Deployment.name)))


def _check_servable(version: ModelVersion) -> None:
    if version.status != "ready":
        raise Refused(f"{version.reference} is {version.status}; only what is ready can be served")
    if version.stage == "archived":
        raise Refused(f"{version.reference} is archived; deploy a version that is in use")
    if version.kind == "adapter" and version.base_version_id is None:
        raise InvalidInput(f"{version.reference} is an adapter without a registered base; register its base first")
