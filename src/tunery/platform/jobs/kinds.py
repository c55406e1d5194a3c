"""Kinds of jobs: a name, a handler, how heavy it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunery.plugins import Registry

if TYPE_CHECKING:
    from tunery.platform.jobs.context import JobContext

__all__ = ["JOB_KINDS", "Handler", "JobKind", "job"]

Handler = Callable[["JobContext", dict[str, Any]], dict[str, Any] | None]


@dataclass(frozen=True)
class JobKind:
    """How jobs of one kind are carried out.

    Attributes:
        name: ``noun.verb``.
        handler: Does the work; it may be called again after a crash and must then go on or do nothing.
        heavy: Heavy jobs use the whole machine and run one at a time on a worker.
    """

    name: str
    handler: Handler
    heavy: bool = False


JOB_KINDS: Registry[JobKind] = Registry("job")


def job(name: str, *, heavy: bool = False) -> Callable[[Handler], Handler]:
    """Register the decorated function as the handler of a kind of jobs."""

    def keep(handler: Handler) -> Handler:
        JOB_KINDS.register(name)(JobKind(name, handler, heavy))
        return handler

    return keep
