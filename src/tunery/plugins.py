"""A blind registry of plug-ins: built-ins and a stranger's package register the same way.

A room declares ``METRICS: Registry[Metric] = Registry("metric")``; a plug-in registers with the decorator
``@METRICS.register("exact_match")`` or with an entry point in the group ``tunery.metric``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from tunery.errors import Conflict, NotFound

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """Plug-ins of one kind by name.

    Args:
        kind: The singular word of what is kept here; entry points use the group ``tunery.<kind>``.
        builtins: Modules whose import registers the built-in plug-ins; they are imported at the first look-up.
    """

    def __init__(self, kind: str, builtins: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self._builtins = builtins
        self._found: dict[str, T] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[T], T]:
        """Register the decorated object under ``name``. Raises: Conflict: the name is taken by another object."""

        def keep(plugin: T) -> T:
            if self._found.get(name, plugin) is not plugin:
                raise Conflict(f"two plug-ins want to be the {self.kind} {name!r}; rename one of them")
            self._found[name] = plugin
            return plugin

        return keep

    def get(self, name: str) -> T:
        """Return the plug-in of that name. Raises: NotFound: with the nearest names."""
        self._load()
        if name not in self._found:
            near = difflib.get_close_matches(name, self._found, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            kind = self.kind.replace("_", " ")
            raise NotFound(f"there is no {kind} {name[:80]!r}{hint} Known: {', '.join(self.names())}")
        return self._found[name]

    def names(self) -> list[str]:
        """Return every known name, sorted."""
        self._load()
        return sorted(self._found)

    def __iter__(self) -> Iterator[tuple[str, T]]:
        self._load()
        return iter(sorted(self._found.items()))

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        for module in self._builtins:
            import_module(module)
        for point in entry_points(group=f"tunery.{self.kind}"):
            self.register(point.name)(point.load())
