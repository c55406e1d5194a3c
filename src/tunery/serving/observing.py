"""From engines to statuses: what is to be said of a deployment."""

from __future__ import annotations

from collections.abc import Mapping

from tunery.serving.engine_group import EngineGroup
from tunery.serving.statuses import Observation
from tunery.serving.targets import EngineKey, Member, Target

__all__ = ["observe"]

_GONE = "the version, or its base, was deleted or archived"


def observe(target: Target, groups: Mapping[EngineKey, EngineGroup]) -> Observation | None:
    """Return what is new about a deployment, or None where its row says all.

    A deployment is ready once a live engine holds what it shall serve. Where that was refused it has failed, and an
    earlier version goes on answering unless it was refused too.
    """
    wanted = target.wanted
    served = target.served if target.served and not _refusal(target.served, groups) else None
    group = groups.get(wanted.key) if wanted else None
    status, reason = target.status, target.status_reason
    if wanted is None:
        status, reason = "failed", _GONE
    elif group is not None and group.current is not None and group.holds(wanted):
        if (target.status, target.served) == ("ready", wanted):
            return None
        return Observation(target, "ready", None, wanted, group.current.engine.template_digest)
    elif refusal := _refusal(wanted, groups):
        status, reason = "failed", refusal
    elif target.status == "ready" and group is not None and group.trouble:
        status, reason = "starting", group.trouble
    if (status, reason, served) == (target.status, target.status_reason, target.served):
        return None
    return Observation(target, status, reason, served)


def _refusal(member: Member, groups: Mapping[EngineKey, EngineGroup]) -> str | None:
    group = groups.get(member.key)
    return group.refused.get(member) if group else None
