"""What the store asks of the place where bytes lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from tunery.errors import InternalError

__all__ = ["Backend", "Entry", "checked_name"]


@dataclass(frozen=True)
class Entry:
    """One object that lies in a backend."""

    name: str
    size_bytes: int
    modified_at: datetime


class Backend(Protocol):
    """Durable objects by name; ``/`` parts a name into folders. Every method may be called from several threads.

    Raises (all methods):
        NotFound: There is no such object. IntegrityError: this one cannot be read. Exhausted: no room. Unavailable: the
        place does not answer, or refuses writes since it failed to make one durable.
    """

    url: str
    """Where it is, without secrets."""

    def place(self, name: str, staged: Path) -> None:
        """Make a finished local file the object ``name``, durable when this returns; the staged file is gone then."""

    def put(self, name: str, data: bytes) -> None:
        """Write a small object as a whole, durable when this returns; one of that name is replaced."""

    def put_new(self, name: str, data: bytes) -> bool:
        """Write a small object unless one of that name is there, and return whether: of two at once, one does."""

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Return bytes of an object, to its end where no length is given; fewer than asked is an error."""

    def delete(self, name: str) -> None:
        """Take an object away; one that is not there is no error."""

    def entries(self, prefix: str | None) -> Iterator[Entry]:
        """Yield the objects whose folder is ``prefix`` or below, all where it is None; or raise, and not yield some."""

    def sweep(self, prefix: str, before: datetime) -> None:
        """Take away there what broken-off writes left, if they began before a moment."""


def checked_name(name: str) -> str:
    """Return a name that stays below where the store begins. Raises: InternalError: it does not."""
    if any(part in ("", ".", "..") for part in name.split("/")) or "\\" in name or "\0" in name:
        raise InternalError(f"{name[:200]!r} is no name of an object")
    return name
