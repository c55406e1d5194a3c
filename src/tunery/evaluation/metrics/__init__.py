"""Metrics as plug-ins: each file here registers what it holds. How to add one: ADDING.md."""

from __future__ import annotations

from collections.abc import Iterable
from pkgutil import iter_modules

from tunery.evaluation.ports import Metric
from tunery.plugins import Registry

__all__ = ["METRICS", "metrics_by_name"]

METRICS: Registry[Metric] = Registry("metric", tuple(f"{__name__}.{module.name}" for module in iter_modules(__path__)))
"""Every known metric by name; a package adds its own by an entry point in the group ``tunery.metric``."""


def metrics_by_name(names: Iterable[str]) -> list[Metric]:
    """Return the metrics of those names, each once, in order. Raises: NotFound: with the nearest valid name."""
    return [METRICS.get(name) for name in dict.fromkeys(names)]
