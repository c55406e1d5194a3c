"""Write what the pool sees into the rows: only where the wish it is about still stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import structlog

from tunery import audit
from tunery.errors import StaleState
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.lineage.operations import Node, link
from tunery.platform.db import Database, TenantSession, compare_and_set
from tunery.registry.operations import resolve_version
from tunery.registry.operations.register import node_of
from tunery.serving.tables import Deployment
from tunery.serving.targets import Member, Target

__all__ = ["Observation", "with_observations", "write_observations"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Observation:
    """The state of one deployment.

    Attributes:
        target: The row as it was seen.
        status: ``starting``, ``ready`` or ``failed``.
        reason: Why, where it is not ready.
        served: What answers; None where nothing does.
        template_digest: Of the chat template, once it is known.
    """

    target: Target
    status: str
    reason: str | None
    served: Member | None
    template_digest: str | None = None

    @property
    def flips(self) -> bool:
        """Whether another version answers from now on."""
        return self.served is not None and self.served != self.target.served


def with_observations(targets: Iterable[Target], observations: Iterable[Observation]) -> list[Target]:
    """Return the targets as they are once the observations are written."""
    by_id = {seen.target.id: seen for seen in observations}
    return [
        replace(t, status=seen.status, status_reason=seen.reason, served=seen.served)
        if (seen := by_id.get(t.id))
        else t
        for t in targets
    ]


def write_observations(database: Database, observations: list[Observation]) -> None:
    """Write each in a transaction of its own; one that somebody overtook is left out, for the next look comes soon."""
    for seen in observations:
        try:
            with database.session(seen.target.tenant_id) as session:
                _write(session, seen)
        except StaleState:
            continue
        log.info("deployment", name=seen.target.name, status=seen.status, reason=seen.reason)


def _write(session: TenantSession, seen: Observation) -> None:
    target = seen.target
    new = {
        "status": seen.status,
        "status_reason": seen.reason,
        "served_version_id": seen.served.version_id if seen.served else None,
        "served_engine": seen.served.key.engine if seen.served else None,
        "updated_at": now(),
    }
    if seen.flips:
        new |= {"deployed_at": now(), "template_digest": seen.template_digest}
    known = {"revision": target.revision, "status": target.status, "desired_state": "running"}
    compare_and_set(session, Deployment, target.id, known, new)
    if not seen.flips or seen.served is None:
        return
    version = resolve_version(session, seen.served.version_id)
    link(session, node_of(version), Node("deployment", target.id, target.name, version.manifest_digest), "deployed_as")
    actor = Actor(target.tenant_id, None, "system")
    details = {"version": version.reference, "digest": version.manifest_digest}
    audit.record(session, actor, "deployment_flipped", target.name, **details)
